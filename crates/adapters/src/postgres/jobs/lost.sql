-- Open jobs that have reported nothing for a while, oldest first: $1 published or begun before, $2 longest time of an
-- attempt and $3 longest retry delay, seconds, $4 job after which the page begins (or NULL), $5 limit, $6 lanes and
-- $8 models of the queues that are empty, $7 whether the retry queues are. `lost`: the queues have no message for it. An
-- empty queue has none; in another, jobs published later have been begun a while ago. How far each queue has come is looked
-- up once, not for each job, by the thousand jobs that were begun last (index analyses_begun).
WITH page AS (
    SELECT a.job_id, a.batch_id, a.model_name, a.options, a.lane, a.state, a.max_seconds, a.submitted_at, a.published_at,
           r.bucket, r.key, r.etag, r.call_id, r.agent, r.team, r.customer, r.started_at, r.attributes
      FROM analyses a JOIN recordings r ON r.id = a.recording_id
     WHERE a.state IN ('queued', 'running', 'retrying')
       AND coalesce(a.published_at, a.submitted_at) < CASE a.state WHEN 'retrying' THEN $1 - make_interval(secs => $3) ELSE $1 END
       AND (a.state <> 'running' OR a.started_at < $1 - make_interval(secs => $2))
       AND ($4::uuid IS NULL OR a.job_id > $4)
     ORDER BY a.job_id
     LIMIT $5
), queue AS (
    SELECT DISTINCT lane, model_name,
           (lane, model_name) IN (SELECT * FROM unnest($6::text[], $8::text[])) AS is_empty
      FROM page
), begun AS MATERIALIZED (
    SELECT q.lane, q.model_name, q.is_empty,
           (SELECT max(last.published_at)
              FROM (SELECT b.published_at FROM analyses b
                     WHERE b.lane = q.lane AND b.model_name = q.model_name
                       AND b.started_at >= b.published_at AND b.started_at < $1
                     ORDER BY b.started_at DESC LIMIT 1000) AS last) AS come_to
      FROM queue q
)
SELECT p.job_id, p.batch_id, p.model_name, p.options, p.lane, p.max_seconds, p.submitted_at, p.published_at,
       p.bucket, p.key, p.etag, p.call_id, p.agent, p.team, p.customer, p.started_at, p.attributes,
       p.published_at IS NULL
       OR ((p.state <> 'retrying' OR $7) AND (b.is_empty OR p.published_at < b.come_to)) AS lost
  FROM page p JOIN begun b USING (lane, model_name)
 ORDER BY p.job_id
