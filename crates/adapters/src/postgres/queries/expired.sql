-- Ended analyses to forget, oldest first: $1 called before (or NULL), $2 call id (or NULL; then unfinished ones too), $3 how many.
SELECT a.job_id, a.called_at, a.status, a.artifact_bucket, a.result_key, a.audio_key, a.embedding_key, r.bucket, r.key
  FROM analyses a JOIN recordings r ON r.id = a.recording_id
 WHERE ($1::timestamptz IS NULL OR (a.called_at < $1 AND a.status IN ('done', 'failed')))
   AND ($2::text IS NULL OR r.call_id = $2)
   AND ($1::timestamptz IS NOT NULL OR $2::text IS NOT NULL)
 ORDER BY a.called_at, a.job_id
 LIMIT $3
