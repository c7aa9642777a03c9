-- A page of a batch's jobs with their results, by bucket and key: $1 batch, $2 to $4 bucket, key and job after which
-- the page begins, $5 limit, $6 only recordings of this team, or NULL. The first comparison is one that recordings_object can serve.
SELECT a.*,
       coalesce(c.number, '{}') AS channel_numbers, coalesce(c.role, '{}') AS channel_roles,
       coalesce(c.scored, '{}') AS channel_scored, coalesce(c.emotion, '{}') AS channel_emotions,
       coalesce(c.score, '{}') AS channel_scores, coalesce(c.speech_s, '{}') AS channel_speech,
       coalesce(c.segments, '{}') AS channel_segments
  FROM (SELECT a.job_id, r.bucket, r.key, r.call_id, r.duration_s, a.called_at, a.finished_at, a.status,
               a.failure_code, a.failure_message,
               a.repeat, a.repeat_failure_code, a.repeat_failure_message, a.emotion, a.confidence, a.warnings
          FROM analyses a JOIN recordings r ON r.id = a.recording_id
         WHERE a.batch_id = $1 AND a.state <> 'deleting' AND (r.bucket, r.key) >= ($2, $3) AND ((r.bucket, r.key) > ($2, $3) OR a.job_id > $4)
           AND ($6::text IS NULL OR r.team = $6)
         ORDER BY r.bucket, r.key, a.job_id LIMIT $5) a
  LEFT JOIN LATERAL (
       SELECT array_agg(channel ORDER BY channel) AS number, array_agg(role ORDER BY channel) AS role,
              array_agg(scored ORDER BY channel) AS scored, array_agg(emotion::text ORDER BY channel) AS emotion,
              array_agg(greatest(score_angry, score_disgusted, score_fearful, score_happy, score_neutral, score_other,
                                 score_sad, score_surprised, score_unknown) ORDER BY channel) AS score,
              array_agg(speech_s ORDER BY channel) AS speech_s, array_agg(segments ORDER BY channel) AS segments
         FROM channels WHERE job_id = a.job_id) c ON true
 ORDER BY a.bucket, a.key, a.job_id
