-- Begins an attempt of one job, unless it is done, failed or being deleted: $1 job, $2 worker, $3 token. A failure of a message that was
-- set aside does not hold back a good message of the same job. The row is always written, so that the answer is the
-- state after any concurrent writer; it has the token when the attempt owns it.
UPDATE analyses
   SET attempts   = CASE WHEN state IN ('queued', 'running', 'retrying') OR set_aside THEN attempts + 1 ELSE attempts END,
       unfinished = CASE WHEN state IN ('queued', 'running', 'retrying') OR set_aside THEN unfinished + 1 ELSE unfinished END,
       worker     = CASE WHEN state IN ('queued', 'running', 'retrying') OR set_aside THEN $2 ELSE worker END,
       started_at = CASE WHEN state IN ('queued', 'running', 'retrying') OR set_aside THEN now() ELSE started_at END,
       attempt    = CASE WHEN state IN ('queued', 'running', 'retrying') OR set_aside THEN $3 ELSE attempt END,
       status     = CASE WHEN status <> 'done' AND (state IN ('queued', 'running', 'retrying') OR set_aside) THEN 'running'
                         ELSE status END,
       repeat     = CASE WHEN repeat IS NOT NULL OR (status = 'done' AND set_aside) THEN 'running' END,
       set_aside  = false,
       published_at = coalesce(published_at, now()) -- it came from the queue
 WHERE job_id = $1
RETURNING state, coalesce(attempt = $3, false) AS begun, unfinished, run, failure_code, failure_message,
          artifact_bucket, result_key, audio_key, embedding_key
