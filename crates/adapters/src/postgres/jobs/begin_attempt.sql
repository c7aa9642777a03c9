-- Begins an attempt of one job, unless it is done, failed or being deleted: $1 job, $2 worker, $3 token, $4 whether it begins
-- after attempts that never ended, $5 whether the commit waits for the disk. A failure of a message that was set aside
-- does not hold back a good message of the same job. The row is always written, so that the answer is the state after any
-- concurrent writer; it has the token when the attempt owns it. Where only the attempts that never ended hold it back, its
-- message goes to the end of the lane.
UPDATE analyses
   SET (attempts, unfinished, worker, started_at, attempt, status, repeat, published_at) = (
         SELECT CASE WHEN begins THEN attempts + 1 ELSE attempts END,
                CASE WHEN begins THEN unfinished + 1 ELSE unfinished END,
                CASE WHEN begins THEN $2 ELSE worker END,
                CASE WHEN begins THEN now() ELSE started_at END,
                CASE WHEN begins THEN $3 ELSE attempt END,
                CASE WHEN begins AND status <> 'done' THEN 'running' ELSE status END,
                CASE WHEN begins AND (repeat IS NOT NULL OR status = 'done') THEN 'running' ELSE repeat END,
                CASE WHEN open AND NOT begins THEN now() ELSE coalesce(published_at, now()) END -- it came from the queue
           FROM (SELECT open, open AND ($4 OR unfinished = 0) AS begins
                   FROM (SELECT state IN ('queued', 'running', 'retrying') OR set_aside AS open) AS standing) AS decision),
       set_aside = false
 WHERE job_id = $1
RETURNING state, coalesce(attempt = $3, false) AS begun, attempts = 1 AS first, unfinished, run, failure_code, failure_message,
          artifact_bucket, result_key, audio_key, embedding_key,
          -- For this transaction alone, which is this statement.
          set_config('synchronous_commit', CASE WHEN $5 THEN current_setting('synchronous_commit') ELSE 'off' END, true)
