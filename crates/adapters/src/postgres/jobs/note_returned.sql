-- Takes the attempt back that owns the row: $1 job, $2 token. It counts as if it had not begun.
UPDATE analyses
   SET status = CASE WHEN repeat IS NULL THEN 'queued' ELSE status END,
       repeat = CASE WHEN repeat IS NOT NULL THEN 'queued' END,
       attempt = NULL, attempts = greatest(attempts - 1, 0), unfinished = greatest(unfinished - 1, 0)
 WHERE job_id = $1 AND attempt = $2 AND state = 'running'
