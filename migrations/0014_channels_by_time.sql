-- Of each time, the scored channels of all teams, for the console's overview: without it, a day is counted by reading all.
-- Building it locks writers out of `channels`, some seconds for each million rows. To avoid that, create it beforehand
-- with CREATE INDEX CONCURRENTLY.

CREATE INDEX IF NOT EXISTS channels_by_time ON channels (called_at)
    INCLUDE (team, agent, recording_id, job_id, emotion, speech_s, negative_s, score_angry)
    WHERE latest AND scored;
COMMENT ON INDEX channels_by_time IS 'Counts of a time over all teams, without the table.';
