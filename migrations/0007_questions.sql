-- Views that answer an inspector's questions. All of them use the newest analysis of a recording and scored channels
-- only. Days are those of the session's time zone (SET timezone = 'Asia/Shanghai').
-- Filter by team and called_at: such conditions reach the index.

CREATE VIEW angry_calls AS
SELECT c.job_id, c.channel, c.called_at, c.call_id, c.team, c.agent, c.customer, c.role, c.emotion,
       c.score_angry, c.angry_s, c.angry_s / nullif(c.speech_s, 0) AS angry_share, c.angry_streak,
       c.angry_streak_at_s, c.peak_angry, c.peak_angry_at_s, c.turned_at_s, c.speech_s, c.recording_id
  FROM channels c
 WHERE c.latest AND c.scored AND c.angry_s > 0;
COMMENT ON VIEW angry_calls IS
    'Calls with at least one segment predicted as angry, one row per scored channel. Worst first: ORDER BY '
    'score_angry DESC.';
COMMENT ON COLUMN angry_calls.angry_share IS 'Share of the speech that was predicted as angry, 0 to 1.';
COMMENT ON COLUMN angry_calls.turned_at_s IS 'The second of the turning point: play the recording from there.';
COMMENT ON COLUMN angry_calls.recording_id IS
    'Join recordings for the object, analyses (by job_id) for the artifacts.';

CREATE VIEW emotion_by_agent_day AS
SELECT c.team, c.agent, c.called_at::date AS day,
       count(*) AS calls,
       count(*) FILTER (WHERE c.emotion = 'angry') AS angry_calls,
       count(*) FILTER (WHERE is_negative(c.emotion)) AS negative_calls,
       sum(c.speech_s) / 60 AS speech_minutes,
       sum(c.score_angry * c.speech_s) / nullif(sum(c.speech_s), 0) AS angry,
       sum(c.score_happy * c.speech_s) / nullif(sum(c.speech_s), 0) AS happy,
       sum(c.score_neutral * c.speech_s) / nullif(sum(c.speech_s), 0) AS neutral,
       sum(c.score_sad * c.speech_s) / nullif(sum(c.speech_s), 0) AS sad,
       avg(c.last_third - c.first_third) AS mean_shift
  FROM channels c
 WHERE c.latest AND c.scored AND c.emotion IS NOT NULL
 GROUP BY c.team, c.agent, c.called_at::date;
COMMENT ON VIEW emotion_by_agent_day IS
    'Predictions on customers, by the agent they spoke to and the day. About how calls went, not how the agent felt.';
COMMENT ON COLUMN emotion_by_agent_day.angry IS
    'Mean probability over the day''s speech, weighted by seconds; also happy, neutral, sad.';
COMMENT ON COLUMN emotion_by_agent_day.mean_shift IS
    'Mean of last third minus first third: below 0, calls end better than they begin.';

CREATE VIEW call_timeline AS
SELECT r.call_id, s.called_at, s.job_id, s.channel, s.segment, s.role, s.start_s, s.end_s, s.emotion, s.confidence,
       s.score_angry, s.score_disgusted, s.score_fearful, s.score_happy, s.score_neutral, s.score_other, s.score_sad,
       s.score_surprised, s.score_unknown, r.bucket, r.key, a.artifact_bucket, a.audio_key, a.model_name,
       a.model_version
  FROM recordings r
  JOIN analyses a ON a.recording_id = r.id
  JOIN segments s ON s.job_id = a.job_id AND s.called_at = a.called_at
 WHERE EXISTS (SELECT FROM channels c WHERE c.job_id = a.job_id AND c.latest);
COMMENT ON VIEW call_timeline IS 'Every segment of a call. Ask for one call_id, ORDER BY start_s.';

CREATE VIEW emotion_shift AS
SELECT c.job_id, c.channel, c.called_at, c.call_id, c.team, c.agent, c.customer, c.role, c.first_third, c.last_third,
       c.last_third - c.first_third AS shift, c.turned_at_s, c.speech_s, c.segments
  FROM channels c
 WHERE c.latest AND c.scored AND c.first_third IS NOT NULL AND c.last_third IS NOT NULL AND c.segments >= 3;
COMMENT ON VIEW emotion_shift IS
    'Mean negative score in the first and the last third, for calls with at least three segments.';
COMMENT ON COLUMN emotion_shift.shift IS 'Above 0: the call got worse. Below 0: it ended better than it began.';

CREATE VIEW negative_streaks AS
SELECT c.job_id, c.channel, c.called_at, c.call_id, c.team, c.agent, c.customer, c.role,
       c.angry_streak, c.angry_streak_at_s, c.negative_streak, c.negative_streak_at_s, c.segments
  FROM channels c
 WHERE c.latest AND c.scored AND c.negative_streak >= 2;
COMMENT ON VIEW negative_streaks IS
    'Calls with two or more consecutive negative segments; angry_streak counts angry ones alone.';

CREATE VIEW low_confidence AS
SELECT c.team, date_trunc('month', c.called_at) AS month,
       count(*) AS calls, sum(c.segments) AS segments, sum(c.low_confidence) AS unsure,
       sum(c.low_confidence)::real / nullif(sum(c.segments), 0) AS share
  FROM channels c
 WHERE c.latest AND c.scored
 GROUP BY c.team, date_trunc('month', c.called_at);
COMMENT ON VIEW low_confidence IS
    'How many segments have a likeliest emotion with a probability below 0.5, by team and month.';

CREATE VIEW failures_by_code AS
SELECT a.failure_code, a.finished_at::date AS day, count(*) AS failures, max(a.finished_at) AS latest,
       (array_agg(a.failure_message ORDER BY a.finished_at DESC))[1] AS latest_message,
       (array_agg(r.key ORDER BY a.finished_at DESC))[1] AS latest_key
  FROM analyses a JOIN recordings r ON r.id = a.recording_id
 WHERE a.status = 'failed'
 GROUP BY a.failure_code, a.finished_at::date;
COMMENT ON VIEW failures_by_code IS
    'Failed jobs by failure code and the day on which they failed, with the latest case.';

CREATE VIEW batch_progress AS
SELECT b.id, b.name, b.source, b.created_at, p.total, p.queued, p.running, p.retrying, p.done, p.failed,
       (p.done + p.failed)::real / nullif(p.total, 0) AS share_ended,
       p.recent / 5.0 AS per_minute,
       CASE WHEN p.recent > 0
            THEN make_interval(secs => (p.total - p.done - p.failed) * 300.0 / p.recent) END AS time_left,
       p.first_started_at, p.last_finished_at
  FROM batches b
 CROSS JOIN LATERAL (
       SELECT count(*) AS total,
              count(*) FILTER (WHERE a.state = 'queued') AS queued,
              count(*) FILTER (WHERE a.state = 'running') AS running,
              count(*) FILTER (WHERE a.state = 'retrying') AS retrying,
              count(*) FILTER (WHERE a.state = 'done') AS done,
              count(*) FILTER (WHERE a.state = 'failed') AS failed,
              count(*) FILTER (WHERE a.state IN ('done', 'failed')
                                 AND a.finished_at > now() - interval '5 minutes') AS recent,
              min(a.started_at) AS first_started_at,
              max(a.finished_at) FILTER (WHERE a.state IN ('done', 'failed')) AS last_finished_at
         FROM analyses a WHERE a.batch_id = b.id AND a.state <> 'deleting') p;
COMMENT ON VIEW batch_progress IS 'Progress of each batch. Ask for one name, or the newest.';
COMMENT ON COLUMN batch_progress.per_minute IS 'Ended in the last five minutes, per minute.';
COMMENT ON COLUMN batch_progress.time_left IS 'At that rate; NULL when nothing ended in the last five minutes.';

CREATE VIEW caller_trend AS
SELECT c.customer, c.team, count(*) AS calls, min(c.called_at) AS first_call, max(c.called_at) AS last_call,
       avg(c.score_angry) AS mean_angry,
       (array_agg(c.score_angry ORDER BY c.called_at, c.job_id))[1] AS first_angry,
       (array_agg(c.score_angry ORDER BY c.called_at DESC, c.job_id))[1] AS last_angry,
       regr_slope(c.score_angry, extract(epoch FROM c.called_at) / 604800) AS angrier_per_week
  FROM channels c
 WHERE c.latest AND c.scored AND c.customer IS NOT NULL AND c.score_angry IS NOT NULL
 GROUP BY c.customer, c.team;
COMMENT ON VIEW caller_trend IS 'Callers over all their calls to a team: does a caller get angrier from call to call?';
COMMENT ON COLUMN caller_trend.angrier_per_week IS
    'Slope of score_angry over time by least squares; above 0: angrier. NULL for a single call.';

-- Outer joins by key: PostgreSQL leaves out those whose columns a question does not use, so that agreement over a
-- month does not fetch every reviewed call's analysis and recording. A review always has both.
CREATE VIEW model_vs_reviewer AS
SELECT v.id AS review_id, v.job_id, v.channel, v.segment, v.reviewer, v.reviewed_at, v.model_emotion,
       v.emotion AS reviewer_emotion, v.model_emotion = v.emotion AS agrees, v.note, r.call_id, r.team, r.agent,
       a.called_at, a.model_name, a.model_version
  FROM reviews v
  LEFT JOIN analyses a ON a.job_id = v.job_id
  LEFT JOIN recordings r ON r.id = a.recording_id;
COMMENT ON VIEW model_vs_reviewer IS
    'Each review beside the model''s prediction. avg(agrees::int) is the agreement; count by both emotions is the '
    'confusion matrix.';

-- The copies of call data agree on all channels of a recording. Written as an equality, the team that a question
-- names bounds both sides. Calls without a team are the second part; a question that names a team skips it.
CREATE VIEW model_disagreements AS
WITH pair AS NOT MATERIALIZED (
    SELECT l.recording_id, l.channel, l.call_id, l.team, l.agent, l.called_at,
           l.job_id AS latest_job, e.job_id AS earlier_job,
           l.emotion AS latest_emotion, l.score_angry AS latest_angry,
           e.emotion AS earlier_emotion, e.score_angry AS earlier_angry
      FROM channels l
      JOIN channels e ON e.team = l.team AND e.recording_id = l.recording_id AND e.channel = l.channel
                     AND e.scored AND NOT e.latest
     WHERE l.latest AND l.scored
    UNION ALL
    SELECT l.recording_id, l.channel, l.call_id, l.team, l.agent, l.called_at,
           l.job_id, e.job_id,
           l.emotion, l.score_angry,
           e.emotion, e.score_angry
      FROM channels l
      JOIN channels e ON e.recording_id = l.recording_id AND e.channel = l.channel
                     AND e.scored AND NOT e.latest
     WHERE l.latest AND l.scored AND l.team IS NULL AND e.team IS NULL
)
SELECT p.recording_id, p.channel, p.call_id, p.team, p.agent, p.called_at,
       la.model_name AS latest_model, la.model_version AS latest_version, p.latest_emotion, p.latest_angry,
       ea.model_name AS earlier_model, ea.model_version AS earlier_version, p.earlier_emotion, p.earlier_angry,
       p.latest_emotion = p.earlier_emotion AS agree
  FROM pair p
  JOIN analyses la ON la.job_id = p.latest_job
  JOIN analyses ea ON ea.job_id = p.earlier_job;
COMMENT ON VIEW model_disagreements IS
    'The newest analysis of a channel beside each earlier one: another model, another version, other options.';

CREATE VIEW alert_outcomes AS
SELECT t.id AS alert_id, t.rule, t.severity, t.job_id, t.fired_at, t.queued_at, t.resolved_at, t.channel, t.segment,
       t.start_s, v.reviewed, coalesce(v.confirmed, false) AS confirmed
  FROM alerts t
 CROSS JOIN LATERAL (
       SELECT count(*) > 0 AS reviewed, bool_or(is_negative(v.emotion)) AS confirmed
         FROM reviews v
        WHERE v.job_id = t.job_id
          AND (v.channel IS NULL OR t.channel IS NULL OR v.channel = t.channel)
          AND (v.segment IS NULL OR t.segment IS NULL OR v.segment = t.segment)) v;
COMMENT ON VIEW alert_outcomes IS
    'Each alert, and whether a person has reviewed that call, channel or segment.';
COMMENT ON COLUMN alert_outcomes.confirmed IS 'A reviewer named a negative emotion there: is_negative().';
