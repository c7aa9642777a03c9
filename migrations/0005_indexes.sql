-- Indexes for the questions of docs/sql-cookbook.md; the plans and times they were chosen by stand in docs/sql-scale.md.

-- A team's month from the index alone. The rows of one team lie scattered over the table, one to a page or fewer:
-- reading them there costs a disk access each, reading them here a few dozen pages in a row.
CREATE INDEX channels_of_team ON channels (team, called_at)
    INCLUDE (agent, customer, call_id, recording_id, job_id, channel, role, emotion, segments, low_confidence, speech_s, angry_s,
             score_angry, score_happy, score_neutral, score_sad, peak_angry, peak_angry_at_s, first_third, last_third, turned_at_s,
             angry_streak, angry_streak_at_s, negative_streak, negative_streak_at_s)
    WHERE latest AND scored;
COMMENT ON INDEX channels_of_team IS 'Answers what is asked of a team and a stretch of time without touching the table.';
-- Reading from the index alone needs pages that vacuum has marked: after 2 % of new rows rather than 20 %.
ALTER TABLE channels SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.05);

-- An index entry has a bound (2704 bytes), call data nearly none: the copies beside the channels are cut.
CREATE OR REPLACE FUNCTION channels_follow_recording() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE channels SET call_id = left(NEW.call_id, 100), agent = left(NEW.agent, 100),
                        team = left(NEW.team, 100), customer = left(NEW.customer, 100)
     WHERE recording_id = NEW.id;
    RETURN NULL;
END $$;
COMMENT ON COLUMN channels.team IS 'Copy of the recording''s call data, cut to 100 characters and kept the same by a trigger; also call_id, agent, customer.';

-- Where a batch stands, polled while it runs.
DROP INDEX analyses_by_batch;
CREATE INDEX analyses_by_batch ON analyses (batch_id, status) INCLUDE (submitted_at, started_at, finished_at);

-- Few rows of many.
CREATE INDEX analyses_failed ON analyses (finished_at) INCLUDE (failure_code, recording_id) WHERE status = 'failed';
CREATE INDEX alerts_by_time ON alerts (fired_at);

-- Two models on the same recordings, compared by channel: found from the team's index on.
DROP VIEW model_disagreements;
CREATE VIEW model_disagreements AS
SELECT l.recording_id, l.channel, l.call_id, l.team, l.agent, l.called_at,
       la.model_name AS latest_model, la.model_version AS latest_version, l.emotion AS latest_emotion, l.score_angry AS latest_angry,
       ea.model_name AS earlier_model, ea.model_version AS earlier_version, e.emotion AS earlier_emotion, e.score_angry AS earlier_angry,
       l.emotion = e.emotion AS agree
  FROM channels l
  JOIN channels e ON e.recording_id = l.recording_id AND e.channel = l.channel AND e.job_id <> l.job_id AND e.scored
  JOIN analyses la ON la.job_id = l.job_id
  JOIN analyses ea ON ea.job_id = e.job_id
 WHERE l.latest AND l.scored;
COMMENT ON VIEW model_disagreements IS 'The newest analysis of a channel beside each earlier one: another model, another version, other options.';
