-- The recordings of one agent or customer: without these, a list of their calls reads all recordings. Building them locks
-- writers out of `recordings`, a second or two for each million rows. To avoid that, create them beforehand with
-- CREATE INDEX CONCURRENTLY.

CREATE INDEX IF NOT EXISTS recordings_by_agent ON recordings (agent) WHERE agent IS NOT NULL;
CREATE INDEX IF NOT EXISTS recordings_by_customer ON recordings (customer) WHERE customer IS NOT NULL;
COMMENT ON INDEX recordings_by_agent IS 'Lists of an agent''s calls.';
COMMENT ON INDEX recordings_by_customer IS 'Lists of a customer''s calls.';
