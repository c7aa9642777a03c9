-- Progress of a batch: $1 batch.
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
  FROM analyses
 WHERE batch_id = $1 AND state <> 'deleting'
