-- Couriers take the oldest first: found without sorting all that waits.
DROP INDEX outbox_waiting;
CREATE INDEX outbox_waiting ON outbox (destination, id) WHERE delivered_at IS NULL AND given_up_at IS NULL;
