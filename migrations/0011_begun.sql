-- Of each lane and model, the jobs that were begun last: what was published before them and has not begun is lost. Without it
-- the comparison of open jobs with the queues read every analysis. Building it locks writers out of `analyses`, a few
-- seconds for each million rows. To avoid that, create it beforehand with CREATE INDEX CONCURRENTLY.

CREATE INDEX IF NOT EXISTS analyses_begun ON analyses (lane, model_name, started_at) INCLUDE (published_at)
    WHERE started_at >= published_at;
COMMENT ON INDEX analyses_begun IS
    'How far each queue has come: jobs by when they were begun, with when they were published. For `producer reconcile`.';
