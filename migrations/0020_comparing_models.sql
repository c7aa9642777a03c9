-- Few recordings are heard twice: the earlier hearings have an index of their own, so that a team's month is not
-- looked up call by call in the large one.
CREATE INDEX channels_heard_before ON channels (recording_id, channel) INCLUDE (job_id, emotion, score_angry)
    WHERE scored AND NOT latest;

CREATE OR REPLACE VIEW model_disagreements AS
SELECT l.recording_id, l.channel, l.call_id, l.team, l.agent, l.called_at,
       la.model_name AS latest_model, la.model_version AS latest_version, l.emotion AS latest_emotion, l.score_angry AS latest_angry,
       ea.model_name AS earlier_model, ea.model_version AS earlier_version, e.emotion AS earlier_emotion, e.score_angry AS earlier_angry,
       l.emotion = e.emotion AS agree
  FROM channels l
  JOIN channels e ON e.recording_id = l.recording_id AND e.channel = l.channel AND e.scored AND NOT e.latest
  JOIN analyses la ON la.job_id = l.job_id
  JOIN analyses ea ON ea.job_id = e.job_id
 WHERE l.latest AND l.scored;
COMMENT ON VIEW model_disagreements IS 'The newest analysis of a channel beside each earlier one: another model, another version, other options.';
