-- Progress of a batch: $1 batch, $2 only recordings of this team, or NULL.
SELECT count(*)                                   AS total,
       count(*) FILTER (WHERE state = 'queued')   AS queued,
       count(*) FILTER (WHERE state = 'running')  AS running,
       count(*) FILTER (WHERE state = 'retrying') AS retrying,
       count(*) FILTER (WHERE state = 'done')     AS done,
       count(*) FILTER (WHERE state = 'failed')   AS failed,
       count(*) FILTER (WHERE state = 'done' AND repeat_failure_code IS NOT NULL) AS repeats_failed,
       min(submitted_at) FILTER (WHERE state = 'queued') AS oldest_queued_at,
       min(started_at)                            AS first_started_at,
       max(finished_at) FILTER (WHERE state IN ('done', 'failed')) AS last_finished_at
  FROM analyses a
 WHERE batch_id = $1 AND state <> 'deleting'
   AND ($2::text IS NULL OR EXISTS (SELECT FROM recordings r WHERE r.id = a.recording_id AND r.team = $2))
