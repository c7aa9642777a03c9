-- One month of made-up calls: $1 first day of the month, $2 first call number, $3 calls, $4 segments per call,
-- $5 teams, $6 model name. Every value follows from the call's number, so that a second run makes the same history.
-- Twenty agents a team; one caller in five calls often; 1 % of the jobs failed; a handful of calls go badly.
WITH made AS (
    SELECT n, md5('job' || $6 || n)::uuid AS job_id, md5('recording' || n)::uuid AS recording_id,
           $1 + (n - $2) * (interval '1 month' / $3) AS called_at,
           1 + hashint8(n) & 2147483647 AS h
      FROM generate_series($2, $2 + $3 - 1) AS n
), recording AS (
    INSERT INTO recordings (id, bucket, key, etag, call_id, agent, team, customer, started_at, attributes, container,
                            codec, sample_rate, channels, duration_s, bytes)
    SELECT recording_id, 'calls', to_char(called_at, 'YYYY/MM/DD/') || n || '.wav', 'e1', 'call-' || n,
           'agent-' || h % $5 || '-' || h / 64 % 20, 'team-' || h % $5,
           'customer-' || CASE WHEN h / 11 % 5 = 0 THEN h / 55 % 2000 ELSE n END, called_at,
           jsonb_build_object('vip', CASE WHEN h / 7 % 50 = 1 THEN 'yes' ELSE 'no' END),
           'wav', 'pcm_alaw', 8000, 2, $4 * 5.5, $4 * 88000
      FROM made
    ON CONFLICT DO NOTHING
)
INSERT INTO analyses (job_id, recording_id, batch_id, called_at, status, emotion, confidence, score_angry,
                      score_disgusted, score_fearful, score_happy, score_neutral, score_other, score_sad,
                      score_surprised, score_unknown, speech_s, failure_code, failure_message, model_name, model_version,
                      model_sha256, attempts, worker, submitted_at, published_at, started_at, finished_at,
                      artifact_bucket, result_key, audio_key, embedding_key, embedding)
SELECT job_id, recording_id, (SELECT id FROM batches WHERE name = to_char($1, 'YYYY-MM')), called_at,
       CASE WHEN h % 100 = 7 THEN 'failed' ELSE 'done' END,
       -- Placeholders: questions about a team read channels.
       'neutral', 0.7, 0.05, 0.02, 0.02, 0.1, 0.7, 0.03, 0.04, 0.02, 0.02, $4 * 5.0,
       CASE WHEN h % 100 = 7 THEN (ARRAY['audio.corrupt', 'audio.no_speech', 'object.not_found'])[1 + h / 100 % 3] END,
       CASE WHEN h % 100 = 7 THEN 'made up' END,
       $6, '1', repeat('0', 64), 1, 'worker-' || h % 8, called_at + interval '6 hours', called_at + interval '6 hours',
       called_at + interval '7 hours', called_at + interval '7 hours 3 seconds', 'calls',
       'emofleet/' || job_id || '/result.json', 'emofleet/' || job_id || '/processed_audio.wav',
       'emofleet/' || job_id || '/embedding.npy',
       (SELECT array_agg((i % 7)::real / 7) FROM generate_series(1, 192) AS i)
  FROM made
