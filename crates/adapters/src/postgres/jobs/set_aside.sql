-- The failure of a message that was set aside before any attempt: $1 job, $2 code, $3 message, $4 who. Only for a job that
-- waits: one that is in flight or has ended has another message. $5 what began before this is not in flight any more.
-- A job that was asked for again waits for a message of its own, and the earlier ones say nothing of it. Those that can be
-- read are told by when their job was made ($6); others by when they were set aside ($7), which RabbitMQ gives to the second.
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
   AND CASE WHEN $6::timestamptz IS NOT NULL THEN submitted_at = $6
            WHEN $7::timestamptz IS NOT NULL THEN date_trunc('second', submitted_at) <= $7
            ELSE true END
