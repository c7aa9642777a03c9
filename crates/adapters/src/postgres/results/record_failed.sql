-- Stores that a job failed: $1 job, $2 code, $3 message, $4 worker, $5 token of the attempt that owns the row, or NULL for
-- a failure outside of any attempt. Beside a result that is there, the failure is the repetition's.
UPDATE analyses
   SET status          = CASE WHEN status = 'done' THEN status          ELSE 'failed' END,
       failure_code    = CASE WHEN status = 'done' THEN failure_code    ELSE $2 END,
       failure_message = CASE WHEN status = 'done' THEN failure_message ELSE $3 END,
       finished_at     = CASE WHEN status = 'done' THEN finished_at     ELSE now() END,
       worker          = CASE WHEN status = 'done' THEN worker          ELSE $4 END,
       repeat_failure_code    = CASE WHEN status = 'done' THEN $2 END,
       repeat_failure_message = CASE WHEN status = 'done' THEN $3 END,
       repeat = NULL, unfinished = 0, published_at = coalesce(published_at, now())
 WHERE job_id = $1 AND state NOT IN ('done', 'deleting') AND (attempt = $5 OR ($5 IS NULL AND state <> 'running'))
