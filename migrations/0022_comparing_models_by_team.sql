-- Two models on the same calls, asked of one team: its earlier hearings stand together now, a dozen pages of the index,
-- where the whole company's were read; and the models' names come from an index, one page for each call rather than two.
DROP INDEX channels_heard_before;
CREATE INDEX channels_heard_before ON channels (team, recording_id, channel) INCLUDE (job_id, emotion, score_angry)
    WHERE scored AND NOT latest;
CREATE INDEX analyses_models ON analyses (job_id) INCLUDE (model_name, model_version);
COMMENT ON INDEX analyses_models IS 'Which model an analysis is by, without its row, which is wide: for model_disagreements and model_vs_reviewer.';

-- The copies of call data agree on all channels of a recording. Said as an equality, the team that a question names bounds
-- both sides; calls without a team are the second part, which any team leaves out at once.
CREATE OR REPLACE VIEW model_disagreements AS
WITH pair AS NOT MATERIALIZED (
    SELECT l.recording_id, l.channel, l.call_id, l.team, l.agent, l.called_at, l.job_id AS latest_job, e.job_id AS earlier_job,
           l.emotion AS latest_emotion, l.score_angry AS latest_angry, e.emotion AS earlier_emotion, e.score_angry AS earlier_angry
      FROM channels l
      JOIN channels e ON e.team = l.team AND e.recording_id = l.recording_id AND e.channel = l.channel AND e.scored AND NOT e.latest
     WHERE l.latest AND l.scored
    UNION ALL
    SELECT l.recording_id, l.channel, l.call_id, l.team, l.agent, l.called_at, l.job_id, e.job_id,
           l.emotion, l.score_angry, e.emotion, e.score_angry
      FROM channels l
      JOIN channels e ON e.recording_id = l.recording_id AND e.channel = l.channel AND e.scored AND NOT e.latest
     WHERE l.latest AND l.scored AND l.team IS NULL AND e.team IS NULL
)
SELECT p.recording_id, p.channel, p.call_id, p.team, p.agent, p.called_at,
       la.model_name AS latest_model, la.model_version AS latest_version, p.latest_emotion, p.latest_angry,
       ea.model_name AS earlier_model, ea.model_version AS earlier_version, p.earlier_emotion, p.earlier_angry,
       p.latest_emotion = p.earlier_emotion AS agree
  FROM pair p
  JOIN analyses la ON la.job_id = p.latest_job
  JOIN analyses ea ON ea.job_id = p.earlier_job;
COMMENT ON VIEW model_disagreements IS 'The newest analysis of a channel beside each earlier one: another model, another version, other options.';
