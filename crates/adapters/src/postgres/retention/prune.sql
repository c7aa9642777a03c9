-- Deletes claimed analyses with everything that refers to them, and recordings that have no other analysis, which are then
-- forgotten as well: $1 jobs. Where another analysis of the recording is left, the newest of those becomes the latest.
-- All parts of the statement see the rows as they were before it: what is deleted can still be counted.
WITH pruned AS (
    DELETE FROM analyses
     WHERE job_id = ANY($1) AND status = 'deleting'
    RETURNING job_id, recording_id, run
), orphan AS (
    DELETE FROM recordings r
     WHERE r.id IN (SELECT recording_id FROM pruned)
       AND NOT EXISTS (SELECT FROM analyses a
                        WHERE a.recording_id = r.id AND a.job_id NOT IN (SELECT job_id FROM pruned))
    RETURNING r.id
), successor AS (
    UPDATE channels c SET latest = true
      FROM (SELECT DISTINCT ON (a.recording_id) a.job_id FROM analyses a
             WHERE a.recording_id IN (SELECT recording_id FROM pruned) AND a.status = 'done'
               AND a.job_id NOT IN (SELECT job_id FROM pruned)
             ORDER BY a.recording_id, a.finished_at DESC, a.job_id) newest
     WHERE c.job_id = newest.job_id AND NOT c.latest
), forgotten_now AS (
    INSERT INTO forgotten (id, run)
    SELECT job_id, run FROM pruned UNION SELECT id, 0 FROM orphan
    ON CONFLICT (id) DO UPDATE SET run = greatest(forgotten.run, excluded.run)
), alert AS (
    SELECT id FROM alerts WHERE job_id IN (SELECT job_id FROM pruned)
)
SELECT (SELECT count(*) FROM pruned) AS analyses, (SELECT count(*) FROM orphan) AS recordings,
       (SELECT count(*) FROM alert) AS alerts,
       (SELECT count(*) FROM outbox
         WHERE alert_id IN (SELECT id FROM alert) AND delivered_at IS NULL) AS unsent,
       (SELECT count(*) FROM reviews WHERE job_id IN (SELECT job_id FROM pruned)) AS reviews
