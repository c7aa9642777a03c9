-- Both channels of a month's finished calls, the customer's summed up by the view that workers use:
-- $1 and $2 the month's bounds, $3 first call number, $4 calls, $5 model name.
WITH sums AS (
    SELECT job_id, channel, sum(end_s - start_s)::real AS speech_s,
           avg(score_angry)::real AS angry, avg(score_disgusted)::real AS disgusted,
           avg(score_fearful)::real AS fearful, avg(score_happy)::real AS happy,
           avg(score_neutral)::real AS neutral, avg(score_other)::real AS other,
           avg(score_sad)::real AS sad, avg(score_surprised)::real AS surprised, avg(score_unknown)::real AS unknown
      FROM segments WHERE called_at >= $1 AND called_at < $2 GROUP BY job_id, channel
), customer AS (
    INSERT INTO channels
    SELECT c.job_id, c.channel, c.called_at, a.recording_id, true, true, 'customer',
           CASE greatest(s.angry, s.sad, s.happy, s.neutral)
               WHEN s.angry THEN 'angry' WHEN s.sad THEN 'sad' WHEN s.happy THEN 'happy' ELSE 'neutral' END,
           c.segments, c.low_confidence, s.speech_s, c.angry_s, c.negative_s,
           s.angry, s.disgusted, s.fearful, s.happy, s.neutral, s.other, s.sad, s.surprised, s.unknown,
           c.peak_angry, c.peak_angry_at_s, c.first_third, c.last_third, c.turned_at_s,
           c.angry_streak, c.angry_streak_at_s, c.negative_streak, c.negative_streak_at_s,
           r.call_id, r.agent, r.team, r.customer
      FROM channel_course c
      JOIN sums s USING (job_id, channel)
      JOIN analyses a USING (job_id)
      JOIN recordings r ON r.id = a.recording_id
     WHERE c.called_at >= $1 AND c.called_at < $2
     ORDER BY c.called_at
)
INSERT INTO channels (job_id, channel, called_at, recording_id, scored, role, call_id, agent, team, customer)
SELECT a.job_id, 0, a.called_at, a.recording_id, false, 'agent', r.call_id, r.agent, r.team, r.customer
  FROM analyses a JOIN recordings r ON r.id = a.recording_id
 WHERE a.called_at >= $1 AND a.called_at < $2 AND a.status = 'done' AND a.model_name = $3
 ORDER BY a.called_at
