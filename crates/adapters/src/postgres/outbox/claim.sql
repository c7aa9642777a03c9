-- Claims the oldest messages of a destination: $1 destination, $2 most messages, $3 owner, $4 seconds until the claim
-- expires. A message that was refused together with others is claimed alone; "resolved" never overtakes the message
-- that it follows.
WITH due AS (
    SELECT o.id, o.alone
      FROM outbox o
     WHERE o.destination = $1 AND o.delivered_at IS NULL AND o.given_up_at IS NULL
       AND o.next_attempt_at <= statement_timestamp() AND coalesce(o.claimed_until <= statement_timestamp(), true)
       AND NOT (o.kind = 'resolved' AND EXISTS (
               SELECT FROM outbox e WHERE e.alert_id = o.alert_id AND e.destination = o.destination AND e.id < o.id
                  AND e.delivered_at IS NULL AND e.given_up_at IS NULL))
     ORDER BY o.id LIMIT 1000
), first AS (
    SELECT alone FROM due ORDER BY id LIMIT 1
), chosen AS (
    SELECT o.id FROM outbox o
     WHERE o.id IN (SELECT d.id FROM due d WHERE d.alone = (SELECT alone FROM first) ORDER BY d.id
                     LIMIT (SELECT CASE WHEN alone THEN 1 ELSE $2 END FROM first))
       FOR UPDATE SKIP LOCKED
)
UPDATE outbox o
   SET claimed_by = $3, claimed_until = clock_timestamp() + make_interval(secs => $4), attempts = attempts + 1
  FROM chosen
 WHERE o.id = chosen.id
RETURNING o.id, o.attempts, o.payload
