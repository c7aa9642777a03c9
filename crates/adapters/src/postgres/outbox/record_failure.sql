-- Messages that were not delivered: $1 ids, $2 owner, $3 reason, $4 most attempts, $5 whether the attempt counts,
-- $6 whether the messages were refused, $7 their pause in that case, seconds.
UPDATE outbox
   SET claimed_by = NULL, claimed_until = NULL, last_error = $3,
       attempts = CASE WHEN $5 THEN attempts ELSE attempts - 1 END,
       alone = alone OR $6,
       next_attempt_at = CASE WHEN $6 THEN clock_timestamp() + make_interval(secs => $7) ELSE next_attempt_at END,
       given_up_at = CASE WHEN $5 AND attempts >= $4 THEN clock_timestamp() END
 WHERE id = ANY($1) AND claimed_by = $2 AND delivered_at IS NULL
RETURNING given_up_at IS NOT NULL AS given_up
