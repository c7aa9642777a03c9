-- Failed jobs, and failed repetitions of jobs that are done, are queued again: $1 jobs.
UPDATE analyses
   SET status = CASE WHEN status = 'done' THEN 'done' ELSE 'queued' END,
       repeat = CASE WHEN status = 'done' THEN 'queued' END,
       run    = CASE WHEN status = 'done' THEN run + 1 ELSE run END,
       finished_at = CASE WHEN status = 'done' THEN finished_at END,
       failure_code = NULL, failure_message = NULL, repeat_failure_code = NULL, repeat_failure_message = NULL,
       attempt = NULL, set_aside = false, unfinished = 0, retries = 0, published_at = now()
 WHERE job_id = ANY($1) AND (status = 'failed' OR (state = 'done' AND repeat_failure_code IS NOT NULL))
