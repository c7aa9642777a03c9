-- Deletes analyses with all that hangs on them, and recordings that have none left: $1 jobs, $2 whether unfinished ones too.
-- Where another analysis of the recording stays, the newest of those becomes the latest.
-- Every part sees the rows as they were before: what hangs on the forgotten ones can still be counted.
WITH forgotten AS (
    DELETE FROM analyses WHERE job_id = ANY($1) AND ($2 OR status IN ('done', 'failed')) RETURNING job_id, recording_id
), orphan AS (
    DELETE FROM recordings r
     WHERE r.id IN (SELECT recording_id FROM forgotten)
       AND NOT EXISTS (SELECT FROM analyses a WHERE a.recording_id = r.id AND a.job_id NOT IN (SELECT job_id FROM forgotten))
    RETURNING r.id
), heir AS (
    UPDATE channels c SET latest = true
      FROM (SELECT DISTINCT ON (a.recording_id) a.job_id FROM analyses a
             WHERE a.recording_id IN (SELECT recording_id FROM forgotten) AND a.status = 'done'
               AND a.job_id NOT IN (SELECT job_id FROM forgotten)
             ORDER BY a.recording_id, a.finished_at DESC, a.job_id) newest
     WHERE c.job_id = newest.job_id AND NOT c.latest
), told AS (
    SELECT id FROM alerts WHERE job_id IN (SELECT job_id FROM forgotten)
)
SELECT (SELECT count(*) FROM forgotten) AS analyses, (SELECT count(*) FROM orphan) AS recordings,
       (SELECT count(*) FROM told) AS alerts,
       (SELECT count(*) FROM outbox WHERE alert_id IN (SELECT id FROM told) AND delivered_at IS NULL) AS unsent,
       (SELECT count(*) FROM reviews WHERE job_id IN (SELECT job_id FROM forgotten)) AS reviews
