-- Resolves a group that had no alert for a time, and queues a message for the destinations that got the newest alert
-- in it. The caller holds the group's lock. $1 rule, $2 group, $3 that time in seconds, $4 channel to wake dispatchers.
WITH resolved AS (
    UPDATE alerts SET resolved_at = clock_timestamp()
     WHERE rule = $1 AND group_key = $2 AND resolved_at IS NULL
       AND NOT EXISTS (SELECT FROM alerts n WHERE n.rule = $1 AND n.group_key = $2
                          AND n.fired_at >= clock_timestamp() - make_interval(secs => $3))
    RETURNING id, queued_at, resolved_at
), newest AS (
    SELECT id, resolved_at FROM resolved WHERE queued_at IS NOT NULL ORDER BY queued_at DESC LIMIT 1
), queued AS (
    INSERT INTO outbox (alert_id, destination, kind, payload)
    SELECT o.alert_id, o.destination, 'resolved',
           o.payload || jsonb_build_object('kind', 'resolved', 'at', n.resolved_at, 'held_back', 0)
      FROM newest n JOIN outbox o ON o.alert_id = n.id AND o.kind <> 'resolved' AND o.given_up_at IS NULL
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT pg_notify($4, ''), (SELECT count(*) FROM queued) AS queued WHERE EXISTS (SELECT FROM resolved)
