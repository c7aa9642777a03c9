-- One analysis with its recording; conditions, order and limit follow.
SELECT a.job_id, a.recording_id, a.batch_id, a.called_at, a.status, a.emotion, a.confidence,
       a.score_angry, a.score_disgusted, a.score_fearful, a.score_happy, a.score_neutral, a.score_other, a.score_sad,
       a.score_surprised, a.score_unknown, a.speech_s, a.warnings, a.failure_code, a.failure_message, a.model_name, a.model_version,
       a.model_sha256, a.options, a.retries, a.worker, a.submitted_at, a.started_at, a.finished_at, a.timings,
       a.artifact_bucket, a.result_key, a.audio_key, a.embedding_key,
       r.bucket, r.key, r.etag, r.call_id, r.agent, r.team, r.customer, r.started_at AS call_started_at, r.attributes,
       r.container, r.codec, r.sample_rate, r.channels, r.duration_s, r.bytes
  FROM analyses a JOIN recordings r ON r.id = a.recording_id
 WHERE a.status <> 'deleting'
