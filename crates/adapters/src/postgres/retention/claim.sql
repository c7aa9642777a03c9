-- Claims analyses for deletion: $1 jobs, $2 whether open ones too. A claimed row takes no attempt and no result any more, and
-- from now on the job is forgotten. `recording_stays`: an analysis that is not being deleted needs the object, be it one of
-- these jobs that was asked for again. Analyses of another version can't use this one.
WITH picked AS (
    SELECT a.job_id, a.called_at, a.artifact_bucket, a.result_key, a.audio_key, a.embedding_key, a.run,
           a.status = 'failed' AS failed, r.bucket, r.key,
           r.etag,
           EXISTS (SELECT FROM recordings o JOIN analyses b ON b.recording_id = o.id
                    WHERE o.bucket = r.bucket AND o.key = r.key AND (o.etag = r.etag OR o.etag = '' OR r.etag = '')
                      AND b.status <> 'deleting'
                      AND NOT (b.job_id = ANY($1) AND ($2 OR b.state IN ('done', 'failed', 'deleting'))))
           AS recording_stays
      FROM analyses a JOIN recordings r ON r.id = a.recording_id
     WHERE a.job_id = ANY($1) AND ($2 OR a.state IN ('done', 'failed', 'deleting'))
       FOR UPDATE OF a
), claimed AS (
    UPDATE analyses a SET status = 'deleting', repeat = NULL, set_aside = false, attempt = NULL
      FROM picked p WHERE a.job_id = p.job_id
), forgotten_now AS (
    INSERT INTO forgotten (id, run) SELECT job_id, run FROM picked
    ON CONFLICT (id) DO UPDATE SET run = greatest(forgotten.run, excluded.run)
)
SELECT * FROM picked ORDER BY called_at, job_id
