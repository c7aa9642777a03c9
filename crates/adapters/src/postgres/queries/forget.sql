-- Deletes analyses with all that hangs on them, and recordings that have none left: $1 jobs.
-- Where another analysis of the recording stays, the newest of those becomes the latest.
WITH forgotten AS (
    DELETE FROM analyses WHERE job_id = ANY($1) RETURNING job_id, recording_id
), orphan AS (
    DELETE FROM recordings r
     WHERE r.id IN (SELECT recording_id FROM forgotten)
       AND NOT EXISTS (SELECT FROM analyses a WHERE a.recording_id = r.id AND a.job_id <> ALL($1))
    RETURNING r.id
), heir AS (
    UPDATE channels c SET latest = true
      FROM (SELECT DISTINCT ON (a.recording_id) a.job_id FROM analyses a
             WHERE a.recording_id IN (SELECT recording_id FROM forgotten) AND a.status = 'done' AND a.job_id <> ALL($1)
             ORDER BY a.recording_id, a.finished_at DESC, a.job_id) newest
     WHERE c.job_id = newest.job_id AND NOT c.latest
)
SELECT (SELECT count(*) FROM forgotten) AS analyses, (SELECT count(*) FROM orphan) AS recordings
