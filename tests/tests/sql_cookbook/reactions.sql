-- Two alerts, and what a reviewer said: the first was right, the second was not.
INSERT INTO alerts (job_id, called_at, rule, severity, channel, group_key, fired_at)
SELECT job_id, called_at, 'anger', 'warning', channel, call_id, called_at + interval '1 hour'
  FROM channels WHERE call_id IN ('c1', 'c5') AND latest AND scored;
INSERT INTO reviews (job_id, channel, reviewer, reviewed_at, model_emotion, emotion)
SELECT job_id, channel, 'rita', called_at + interval '1 day', emotion,
       CASE call_id WHEN 'c1' THEN 'angry' ELSE 'neutral' END
  FROM channels WHERE call_id IN ('c1', 'c4', 'c5') AND latest AND scored;
