-- Where a mix is stored as stereo, one call has two scored channels: the views count calls, not channels.

CREATE OR REPLACE VIEW emotion_by_agent_day AS
SELECT c.team, c.agent, c.called_at::date AS day,
       count(DISTINCT c.job_id) AS calls,
       count(DISTINCT c.job_id) FILTER (WHERE c.emotion = 'angry') AS angry_calls,
       count(DISTINCT c.job_id) FILTER (WHERE is_negative(c.emotion)) AS negative_calls,
       sum(c.speech_s) / 60 AS speech_minutes,
       sum(c.score_angry * c.speech_s) / nullif(sum(c.speech_s), 0) AS angry,
       sum(c.score_happy * c.speech_s) / nullif(sum(c.speech_s), 0) AS happy,
       sum(c.score_neutral * c.speech_s) / nullif(sum(c.speech_s), 0) AS neutral,
       sum(c.score_sad * c.speech_s) / nullif(sum(c.speech_s), 0) AS sad,
       avg(c.last_third - c.first_third) AS mean_shift
  FROM channels c
 WHERE c.latest AND c.scored AND c.emotion IS NOT NULL
 GROUP BY c.team, c.agent, c.called_at::date;
COMMENT ON COLUMN emotion_by_agent_day.angry_calls IS
    'Calls with a scored channel whose likeliest emotion is angry; negative_calls: a negative one.';

CREATE OR REPLACE VIEW low_confidence AS
SELECT c.team, date_trunc('month', c.called_at) AS month,
       count(DISTINCT c.job_id) AS calls, sum(c.segments) AS segments, sum(c.low_confidence) AS unsure,
       sum(c.low_confidence)::real / nullif(sum(c.segments), 0) AS share
  FROM channels c
 WHERE c.latest AND c.scored
 GROUP BY c.team, date_trunc('month', c.called_at);

CREATE OR REPLACE VIEW caller_trend AS
SELECT c.customer, c.team, count(DISTINCT c.job_id) AS calls, min(c.called_at) AS first_call, max(c.called_at) AS last_call,
       avg(c.score_angry) AS mean_angry,
       (array_agg(c.score_angry ORDER BY c.called_at, c.job_id))[1] AS first_angry,
       (array_agg(c.score_angry ORDER BY c.called_at DESC, c.job_id))[1] AS last_angry,
       regr_slope(c.score_angry, extract(epoch FROM c.called_at) / 604800) AS angrier_per_week
  FROM channels c
 WHERE c.latest AND c.scored AND c.customer IS NOT NULL AND c.score_angry IS NOT NULL
 GROUP BY c.customer, c.team;
