-- The properties of the recording, then the analysis: $1 job, $2 recording, $25 token of the attempt. The recording's row is written first: its
-- lock lets one analysis of a recording at a time decide on `channels.latest`. `again`: the job has a result already, by an
-- earlier run, or by this attempt if its commit was not seen; a commit that is under way meets the keys of its segments.
WITH recording AS (
    UPDATE recordings SET container = $3, codec = $4, sample_rate = $5, channels = $6, duration_s = $7, bytes = $8
     WHERE id = $2
    RETURNING id
)
UPDATE analyses a
   SET status = 'done', failure_code = NULL, failure_message = NULL, repeat = NULL,
       repeat_failure_code = NULL, repeat_failure_message = NULL, unfinished = 0, worker = $9,
       finished_at = $10, emotion = $11, confidence = $12,
       score_angry = $13[1], score_disgusted = $13[2], score_fearful = $13[3], score_happy = $13[4],
       score_neutral = $13[5], score_other = $13[6], score_sad = $13[7],
       score_surprised = $13[8], score_unknown = $13[9],
       speech_s = $14, warnings = $24, model_name = $15, model_version = $16, model_sha256 = $17, timings = $18, artifact_bucket = $19,
       result_key = $20, audio_key = $21, embedding_key = $22, embedding = $23
  FROM recording, analyses before
 WHERE a.job_id = $1 AND a.recording_id = recording.id AND a.attempt = $25 AND before.job_id = $1
RETURNING a.called_at, before.status = 'done' AS again
