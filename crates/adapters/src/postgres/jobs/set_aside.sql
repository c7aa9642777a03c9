-- The failure of a message that was set aside before any attempt: $1 job, $2 code, $3 message, $4 who. Only for a job that
-- waits: one that is in hand or has ended has another message.
UPDATE analyses
   SET status          = CASE WHEN status = 'done' THEN status          ELSE 'failed' END,
       failure_code    = CASE WHEN status = 'done' THEN failure_code    ELSE $2 END,
       failure_message = CASE WHEN status = 'done' THEN failure_message ELSE $3 END,
       finished_at     = CASE WHEN status = 'done' THEN finished_at     ELSE now() END,
       worker          = CASE WHEN status = 'done' THEN worker          ELSE $4 END,
       repeat_failure_code    = CASE WHEN status = 'done' THEN $2 END,
       repeat_failure_message = CASE WHEN status = 'done' THEN $3 END,
       repeat = NULL, set_aside = true, unfinished = 0
 WHERE job_id = $1 AND (state IN ('queued', 'retrying') OR (state = 'running' AND started_at < $5))
