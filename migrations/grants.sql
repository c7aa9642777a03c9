-- Optional: a role for each program, with no more than it needs. Not a migration: run it by hand as the owner of the
-- schema, after `producer migrate` and again after each update. It is repeatable.
--
--   psql "$OWNER_URL" -f migrations/grants.sql
--   psql "$OWNER_URL" -c "CREATE ROLE worker1 LOGIN PASSWORD '...' IN ROLE emofleet_worker"

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY
        ARRAY['emofleet_worker', 'emofleet_producer', 'emofleet_dispatcher', 'emofleet_reader', 'emofleet_console']
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- made meanwhile for another database of the same server
            END;
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role_name);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role_name);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', current_schema(), role_name);
    END LOOP;
END $$;

-- Workers write results. They delete a job's own timeline when they replace it, and nothing else.
GRANT INSERT, UPDATE ON recordings, analyses TO emofleet_worker;
GRANT INSERT, UPDATE ON batches TO emofleet_worker;
GRANT INSERT, UPDATE, DELETE ON segments, channels TO emofleet_worker;
GRANT INSERT ON alerts, outbox TO emofleet_worker;
GRANT EXECUTE ON FUNCTION segments_month(timestamptz) TO emofleet_worker;

-- Whoever registers a job looks whether it was deleted, and may be asked to analyse it all the same.
GRANT INSERT, UPDATE, DELETE ON forgotten TO emofleet_worker, emofleet_producer, emofleet_console;

-- Producers register jobs, import reviews and prune. `producer migrate` needs the owner's rights instead.
GRANT INSERT, UPDATE, DELETE ON batches, recordings, analyses, reviews TO emofleet_producer;
GRANT UPDATE, DELETE ON channels TO emofleet_producer;
GRANT DELETE ON segments, alerts, outbox TO emofleet_producer;
GRANT EXECUTE ON FUNCTION segments_month(timestamptz), segments_drop_empty_months(timestamptz) TO emofleet_producer;
-- `producer watch` keeps its place, and the ids of pruned recordings, which a trigger inserts.
GRANT INSERT, UPDATE, DELETE ON watches TO emofleet_producer;
GRANT INSERT ON pruned_recordings TO emofleet_producer;

-- Dispatchers (`dispatcher run`) send what is owed, close what has gone quiet, and publish lost jobs again.
GRANT UPDATE ON analyses TO emofleet_dispatcher;
GRANT INSERT, UPDATE ON outbox TO emofleet_dispatcher;
GRANT UPDATE ON alerts TO emofleet_dispatcher;
GRANT INSERT, UPDATE, DELETE ON destinations, destination_sends TO emofleet_dispatcher;

-- Inspectors and dashboards read; what people say of a call they may add.
GRANT INSERT ON reviews TO emofleet_reader;

-- The console registers uploads as a producer does, adds reviews and deletes calls for those who may, and keeps its users,
-- sessions, tokens and the audit trail.
GRANT INSERT, UPDATE ON batches, reviews TO emofleet_console;
GRANT INSERT, UPDATE, DELETE ON recordings, analyses TO emofleet_console;
GRANT UPDATE ON channels TO emofleet_console;
GRANT INSERT ON pruned_recordings TO emofleet_console;
GRANT EXECUTE ON FUNCTION segments_month(timestamptz) TO emofleet_console;
GRANT INSERT, UPDATE, DELETE ON console_users, console_sessions, console_tokens, console_requests TO emofleet_console;
GRANT INSERT ON audit TO emofleet_console;
-- Only the console reads hashes of passwords and tokens.
REVOKE SELECT ON console_users, console_sessions, console_tokens FROM emofleet_worker, emofleet_producer, emofleet_dispatcher, emofleet_reader;
