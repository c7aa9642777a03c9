-- Begins an attempt of one job, unless it is done or failed. The row is always written, so that the answer is the state
-- after any concurrent writer: $1 job, $2 worker.
UPDATE analyses
   SET attempts   = CASE WHEN status IN ('done', 'failed') THEN attempts   ELSE attempts + 1   END,
       unfinished = CASE WHEN status IN ('done', 'failed') THEN unfinished ELSE unfinished + 1 END,
       worker     = CASE WHEN status IN ('done', 'failed') THEN worker     ELSE $2             END,
       started_at = CASE WHEN status IN ('done', 'failed') THEN started_at ELSE now()          END,
       status     = CASE WHEN status IN ('done', 'failed') THEN status     ELSE 'running'      END,
       published_at = coalesce(published_at, now()) -- it came from the queue
 WHERE job_id = $1
RETURNING status, unfinished, failure_code, failure_message
