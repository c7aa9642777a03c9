-- Fires one rule for one job, at most once. The caller holds the group's lock. $1 job, $2 rule, $3 group, $4 severity,
-- $5 channel, $6 segment, $7 second, $8 message, $9 evidence, $10 cool-down in seconds, $11 age in seconds beyond which
-- a call's alert queues no message, or NULL.
-- clock_timestamp() rather than now(): the transaction may have waited for the lock.
WITH earlier AS (
    SELECT queued_at, resolved_at IS NULL AS open
      FROM alerts
     WHERE rule = $2 AND group_key = $3 AND queued_at IS NOT NULL AND job_id <> $1
     ORDER BY fired_at DESC LIMIT 1
), fired AS (
    INSERT INTO alerts (job_id, called_at, rule, severity, channel, segment, start_s, group_key, message, evidence,
                        fired_at, queued_at)
    SELECT $1, a.called_at, $2, $4, $5, $6, $7, $3, $8, $9, clock_timestamp(),
           CASE WHEN NOT EXISTS (SELECT FROM earlier WHERE queued_at > clock_timestamp() - make_interval(secs => $10))
                 AND ($11::float8 IS NULL OR a.called_at > clock_timestamp() - make_interval(secs => $11))
                THEN clock_timestamp() END
      FROM analyses a WHERE a.job_id = $1
    ON CONFLICT (job_id, rule) DO NOTHING
    RETURNING id, fired_at, queued_at IS NOT NULL AS queued
)
SELECT f.id, f.fired_at, f.queued, coalesce((SELECT open FROM earlier), false) AS again,
       (SELECT count(*) FROM alerts h, earlier
         WHERE f.queued AND h.rule = $2 AND h.group_key = $3
           AND h.queued_at IS NULL AND h.fired_at > earlier.queued_at) AS held_back
  FROM fired f
