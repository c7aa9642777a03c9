-- What is due at a destination and what may be sent, its row being locked: $1 destination, $2 seconds until a claim
-- expires. A request counts from its begin until a window after its end: a service that counts arrivals never finds
-- more than the limit in any window, however long each request took. Up to a thousand due messages are counted: more need a
-- digest all the same. Those that are paused or in flight are looked at only when none is due.
WITH due AS (
    SELECT count(*) AS messages
      FROM (SELECT FROM outbox o
             WHERE o.destination = $1 AND o.delivered_at IS NULL AND o.given_up_at IS NULL
               AND o.next_attempt_at <= statement_timestamp()
               AND coalesce(o.claimed_until <= statement_timestamp(), true)
             LIMIT 1000) AS first
), sends AS (
    SELECT coalesce(ended_at, statement_timestamp()) AS ended_at
      FROM destination_sends
     WHERE destination = $1 AND begun_at > statement_timestamp() - make_interval(secs => 60 + $2)
       AND coalesce(ended_at, begun_at + make_interval(secs => $2)) > statement_timestamp() - interval '60 seconds'
)
SELECT (SELECT messages FROM due) AS due,
       CASE WHEN (SELECT messages FROM due) = 0 THEN
           (SELECT extract(epoch FROM min(greatest(o.next_attempt_at, o.claimed_until)) - statement_timestamp())::float8
              FROM outbox o
             WHERE o.destination = $1 AND o.delivered_at IS NULL AND o.given_up_at IS NULL)
       END AS next_due_s,
       (SELECT count(*) FROM sends) AS minute_used,
       (SELECT extract(epoch FROM min(ended_at) - statement_timestamp())::float8 + 60 FROM sends) AS minute_frees_s,
       (SELECT count(*) FROM sends WHERE ended_at > statement_timestamp() - interval '1 second') AS second_used,
       (SELECT extract(epoch FROM min(ended_at) - statement_timestamp())::float8 + 1 FROM sends
         WHERE ended_at > statement_timestamp() - interval '1 second') AS second_frees_s
