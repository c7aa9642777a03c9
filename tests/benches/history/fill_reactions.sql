-- What followed on a month's calls: $1 and $2 the month's bounds, $3 model name.
-- A second version of the model on one call in twenty, a review of one in a hundred, alerts on the long angry ones.
WITH numbered AS (
    SELECT a.*, hashint8(hashtextextended(a.job_id::text, 0)) & 2147483647 AS h
      FROM analyses a
     WHERE a.called_at >= $1 AND a.called_at < $2 AND a.status = 'done' AND a.model_name = $3 AND a.model_version = '1'
), second AS (
    INSERT INTO analyses (job_id, recording_id, called_at, status, emotion, confidence, score_angry, score_neutral,
                          model_name, model_version, model_sha256, submitted_at, published_at, started_at, finished_at)
    SELECT md5('again' || job_id)::uuid, recording_id, called_at, 'done',
           CASE WHEN h % 200 = 0 THEN 'angry' ELSE 'neutral' END, 0.6,
           0.2, 0.6, $3, '0', repeat('1', 64), submitted_at, submitted_at, started_at, finished_at - interval '1 hour'
      FROM numbered WHERE h % 20 = 0
    ON CONFLICT DO NOTHING
), earlier AS (
    INSERT INTO channels (job_id, channel, called_at, recording_id, latest, scored, role, emotion, score_angry,
                          call_id, agent, team, customer)
    SELECT md5('again' || n.job_id)::uuid, 1, n.called_at, n.recording_id, false, true, 'customer',
           CASE WHEN h % 200 = 0 THEN 'angry' ELSE 'neutral' END, 0.2, r.call_id, r.agent, r.team, r.customer
      FROM numbered n JOIN recordings r ON r.id = n.recording_id WHERE h % 20 = 0
    ON CONFLICT DO NOTHING
), review AS (
    INSERT INTO reviews (job_id, channel, reviewer, reviewed_at, model_emotion, emotion)
    SELECT n.job_id, 1, 'reviewer-' || h % 5, n.called_at + interval '2 days', c.emotion,
           CASE WHEN h % 3 = 0 THEN 'neutral' ELSE c.emotion END
      FROM numbered n JOIN channels c ON c.job_id = n.job_id AND c.scored WHERE h % 100 = 1
    ON CONFLICT DO NOTHING
)
INSERT INTO alerts (job_id, called_at, rule, severity, channel, segment, start_s, group_key, fired_at, queued_at)
SELECT job_id, called_at, CASE WHEN angry_streak >= 10 THEN 'long anger' ELSE 'anger' END, 'warning', channel, 0,
       angry_streak_at_s, call_id, called_at + interval '7 hours', called_at + interval '7 hours 10 seconds'
  FROM channels
 WHERE called_at >= $1 AND called_at < $2 AND scored AND latest AND angry_streak >= 8
ON CONFLICT DO NOTHING
