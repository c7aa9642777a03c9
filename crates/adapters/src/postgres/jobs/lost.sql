-- Open jobs that nothing has been heard of for a while, oldest first: $1 published or begun before, $2 longest time of an
-- attempt and $3 longest retry delay, seconds, $4 job after which the page begins (or NULL), $5 limit, $6 lanes and
-- $8 models of the queues that are empty, $7 whether the retry queues are. `lost`: the queues have no message for it. An
-- empty queue has none; in another, jobs published later have been begun a while ago.
SELECT a.job_id, a.batch_id, a.model_name, a.options, a.lane, a.max_seconds, a.submitted_at, a.published_at,
       r.bucket, r.key, r.etag, r.call_id, r.agent, r.team, r.customer, r.started_at, r.attributes,
       a.published_at IS NULL
       OR ((a.state <> 'retrying' OR $7)
           AND ((a.lane, a.model_name) IN (SELECT * FROM unnest($6::text[], $8::text[]))
                OR a.published_at < (SELECT b.published_at FROM analyses b
                                      WHERE b.lane = a.lane AND b.model_name = a.model_name
                                        AND b.started_at >= b.published_at AND b.started_at < $1
                                      ORDER BY b.published_at DESC LIMIT 1))) AS lost
  FROM analyses a JOIN recordings r ON r.id = a.recording_id
 WHERE a.state IN ('queued', 'running', 'retrying')
   AND coalesce(a.published_at, a.submitted_at) < CASE a.state WHEN 'retrying' THEN $1 - make_interval(secs => $3) ELSE $1 END
   AND (a.state <> 'running' OR a.started_at < $1 - make_interval(secs => $2))
   AND ($4::uuid IS NULL OR a.job_id > $4)
 ORDER BY a.job_id
 LIMIT $5
