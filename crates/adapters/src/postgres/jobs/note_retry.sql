-- Records a transient failure of the attempt that owns the row: $1 job, $2 code, $3 message, $4 token. Beside a result
-- that is there, it is the repetition's.
UPDATE analyses
   SET status          = CASE WHEN repeat IS NULL THEN 'retrying' ELSE status          END,
       failure_code    = CASE WHEN repeat IS NULL THEN $2         ELSE failure_code    END,
       failure_message = CASE WHEN repeat IS NULL THEN $3         ELSE failure_message END,
       repeat                 = CASE WHEN repeat IS NOT NULL THEN 'retrying' END,
       repeat_failure_code    = CASE WHEN repeat IS NOT NULL THEN $2 END,
       repeat_failure_message = CASE WHEN repeat IS NOT NULL THEN $3 END,
       unfinished = 0, retries = retries + 1, published_at = now()
 WHERE job_id = $1 AND attempt = $4 AND state NOT IN ('done', 'failed')
