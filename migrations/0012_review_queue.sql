-- Of each time, the calls whose emotion is not sure, for the console's queue of reviews: some hundreds among a hundred thousand.
-- Building it locks writers out of `analyses`, a few seconds for each million rows. To avoid that, create it beforehand
-- with CREATE INDEX CONCURRENTLY.

CREATE INDEX IF NOT EXISTS analyses_unsure ON analyses (called_at) INCLUDE (recording_id)
    WHERE status = 'done' AND confidence < 0.5;
COMMENT ON INDEX analyses_unsure IS
    'Calls whose likeliest emotion has a probability below 0.5, by time: for the console''s queue of reviews.';
