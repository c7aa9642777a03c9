-- Analyses to delete, oldest first: $1 called before (or NULL), $2 call id (or NULL), $3 whether open ones too,
-- $4 limit, $5 whether the recording came in before $1 as well, $6 recording (or NULL), $7 team (or NULL), $8 and $9 time and
-- job after which the page begins (or NULL): the index is read from there, not again through what is kept.
-- `recording_stays`: another analysis, which is not among these, needs the object. Rows that an earlier deletion claimed,
-- and did not delete, are found again.
SELECT a.job_id, a.called_at, a.artifact_bucket, a.result_key, a.audio_key, a.embedding_key, a.run,
       a.status = 'failed' AS failed, r.bucket, r.key,
       r.etag,
       EXISTS (SELECT FROM recordings o JOIN analyses b ON b.recording_id = o.id
                WHERE o.bucket = r.bucket AND o.key = r.key AND (o.etag = r.etag OR o.etag = '' OR r.etag = '')
                  AND NOT (($1::timestamptz IS NULL OR b.called_at < $1)
                           AND ($2::text IS NULL OR coalesce(o.call_id = $2, false))
                           AND ($6::uuid IS NULL OR o.id = $6)
                           AND ($7::text IS NULL OR coalesce(o.team = $7, false))
                           AND ($3 OR b.state IN ('done', 'failed', 'deleting'))
                           AND (NOT $5 OR o.created_at < $1))) AS recording_stays
  FROM analyses a JOIN recordings r ON r.id = a.recording_id
 WHERE ($1::timestamptz IS NULL OR a.called_at < $1) AND ($2::text IS NULL OR r.call_id = $2)
   AND ($6::uuid IS NULL OR r.id = $6) AND ($7::text IS NULL OR r.team = $7)
   AND ($3 OR a.state IN ('done', 'failed', 'deleting'))
   AND (NOT $5 OR r.created_at < $1)
   AND a.called_at >= coalesce($8::timestamptz, '-infinity')
   AND ($8::timestamptz IS NULL OR (a.called_at, a.job_id) > ($8, $9::uuid))
   AND ($1::timestamptz IS NOT NULL OR $2::text IS NOT NULL OR $6::uuid IS NOT NULL)
 ORDER BY a.called_at, a.job_id
 LIMIT $4
