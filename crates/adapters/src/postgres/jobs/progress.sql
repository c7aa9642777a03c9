-- Progress of a batch: $1 batch.
SELECT count(*)                                    AS total,
       count(*) FILTER (WHERE status = 'queued')   AS queued,
       count(*) FILTER (WHERE status = 'running')  AS running,
       count(*) FILTER (WHERE status = 'retrying') AS retrying,
       count(*) FILTER (WHERE status = 'done')     AS done,
       count(*) FILTER (WHERE status = 'failed')   AS failed,
       min(submitted_at) FILTER (WHERE status = 'queued') AS oldest_queued_at,
       min(started_at)                             AS first_started_at,
       max(finished_at) FILTER (WHERE status IN ('done', 'failed')) AS last_finished_at
  FROM analyses
 WHERE batch_id = $1
