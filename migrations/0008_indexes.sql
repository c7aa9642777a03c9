-- Indexes beside those of keys and constraints. docs/sql-scale.md has the plans and times by which they were chosen.

-- Lists of batches, and a batch by its name.
CREATE INDEX batches_newest ON batches (created_at DESC);
CREATE INDEX batches_by_name ON batches (name);

-- From a call id to its recordings, from a recording to its analyses and channels.
CREATE INDEX recordings_by_call ON recordings (call_id);
CREATE INDEX analyses_by_recording ON analyses (recording_id);
CREATE INDEX channels_by_recording ON channels (recording_id);

-- Progress of a batch, polled while it runs; retention, by age; the few failed jobs of many.
CREATE INDEX analyses_by_batch ON analyses (batch_id, state) INCLUDE (submitted_at, started_at, finished_at);
CREATE INDEX analyses_silent ON analyses (published_at) WHERE state IN ('queued', 'running', 'retrying');
COMMENT ON INDEX analyses_silent IS 'Jobs that have not ended, of which few may be lost: for `producer reconcile`.';
CREATE INDEX analyses_by_time ON analyses (called_at);
CREATE INDEX analyses_failed ON analyses (finished_at) INCLUDE (failure_code, recording_id) WHERE status = 'failed';
-- The few open jobs of many: a fleet that changes its model waits until there are none for the old one.
CREATE INDEX analyses_open ON analyses (model_name) WHERE state IN ('queued', 'running', 'retrying');
CREATE INDEX analyses_models ON analyses (job_id) INCLUDE (model_name, model_version);
COMMENT ON INDEX analyses_models IS
    'The model of an analysis without its wide row: for model_disagreements and model_vs_reviewer.';

-- A team's month from the index alone. The rows of one team are scattered over the table, one to a page or fewer:
-- reading them there costs a disk access each, reading them here a few dozen consecutive pages.
CREATE INDEX channels_of_team ON channels (team, called_at)
    INCLUDE (agent, customer, call_id, recording_id, job_id, channel, role, emotion, segments, low_confidence,
             speech_s, angry_s, score_angry, score_happy, score_neutral, score_sad, peak_angry, peak_angry_at_s,
             first_third, last_third, turned_at_s, angry_streak, angry_streak_at_s, negative_streak,
             negative_streak_at_s)
    WHERE latest AND scored;
COMMENT ON INDEX channels_of_team IS 'Answers questions about a team and a time without the table.';
-- Index-only scans need pages that vacuum has marked: vacuum after 2 % of new rows rather than 20 %.
ALTER TABLE channels SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.05);

-- Few recordings are analysed twice. Their earlier analyses, by team: a dozen pages of the index.
CREATE INDEX channels_of_earlier_analyses ON channels (team, recording_id, channel)
    INCLUDE (job_id, emotion, score_angry)
    WHERE scored AND NOT latest;

-- Lists of alerts; the cool-down reads the newest of a group that was queued, the sweep those that are still open.
CREATE INDEX alerts_by_time ON alerts (fired_at);
CREATE INDEX alerts_by_rule ON alerts (rule, fired_at DESC);
CREATE INDEX alerts_by_group ON alerts (rule, group_key, fired_at DESC);
CREATE INDEX alerts_queued ON alerts (rule, group_key, fired_at DESC) WHERE queued_at IS NOT NULL;
CREATE INDEX alerts_open ON alerts (rule, group_key, fired_at DESC) WHERE resolved_at IS NULL;

-- Dispatchers claim the oldest messages first: found without sorting all that wait.
CREATE INDEX outbox_waiting ON outbox (destination, id) WHERE delivered_at IS NULL AND given_up_at IS NULL;
CREATE INDEX destination_sends_recent ON destination_sends (destination, begun_at);

CREATE INDEX reviews_by_time ON reviews (reviewed_at);
