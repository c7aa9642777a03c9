-- A role for each program, with no more than it needs. Not a migration: `producer migrate --roles`, run as the owner of the
-- schema, applies it after the migrations, at each update again, and lets the roles log in (`postgres.worker_password` and so
-- on in config/default.toml). It is repeatable, and takes back what an earlier version granted too much. By hand:
--
--   psql "$OWNER_URL" -f migrations/grants.sql
--   psql "$OWNER_URL" -c "CREATE ROLE worker1 LOGIN PASSWORD '...' IN ROLE emofleet_worker"
--
-- All of it or nothing: one transaction, which the first error ends. The error names the right that is missing.
\set ON_ERROR_STOP on
BEGIN;

-- Without these checks, GRANT only warns about what it leaves out, or names no right.
DO $$
DECLARE
    roles     text[] := ARRAY['emofleet_worker', 'emofleet_producer', 'emofleet_dispatcher', 'emofleet_reader',
                              'emofleet_console'];
    role_name text;
    missing   text;
    owners    regprocedure;
BEGIN
    IF current_schema() IS NULL OR to_regclass('watches') IS NULL THEN
        RAISE EXCEPTION 'the tables of emofleet are not in the database %', current_database()
            USING HINT = 'Run `producer migrate` first, and name the same database here.';
    END IF;
    SELECT string_agg(r, ', ') INTO missing FROM unnest(roles) r
     WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r);
    IF missing IS NOT NULL AND NOT (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
        RAISE EXCEPTION 'the user % lacks the right CREATEROLE, and these roles are missing: %', current_user, missing
            USING HINT = format('ALTER ROLE %I CREATEROLE, or let an administrator run CREATE ROLE ... NOLOGIN for each.',
                                current_user);
    END IF;
    SELECT string_agg(c.relname, ', ' ORDER BY c.relname) INTO missing FROM pg_class c
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v')
       AND NOT pg_has_role(c.relowner, 'USAGE');
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'the user % does not own these tables and views: %', current_user, missing
            USING HINT = 'Only their owner may grant rights to them: the user that ran `producer migrate`.';
    END IF;
    SELECT string_agg(f.proname, ', ' ORDER BY f.proname) INTO missing FROM pg_proc f
     WHERE f.pronamespace = current_schema()::regnamespace AND f.prosecdef AND NOT pg_has_role(f.proowner, 'USAGE');
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'the user % does not own these functions: %', current_user, missing
            USING HINT = 'Only their owner may grant EXECUTE on them: the user that ran `producer migrate`.';
    END IF;

    FOREACH role_name IN ARRAY roles LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- made meanwhile for another database of the same server
            END;
        END IF;
        IF NOT has_database_privilege(role_name, current_database(), 'CONNECT') THEN
            IF NOT has_database_privilege(current_database(), 'CONNECT WITH GRANT OPTION') THEN
                RAISE EXCEPTION 'the user % lacks the right to grant CONNECT on the database %, which % needs',
                    current_user, current_database(), role_name
                    USING HINT = 'Let the owner of the database grant it.';
            END IF;
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role_name);
        END IF;
        IF NOT has_schema_privilege(role_name, current_schema(), 'USAGE') THEN
            IF NOT has_schema_privilege(current_schema(), 'USAGE WITH GRANT OPTION') THEN
                RAISE EXCEPTION 'the user % lacks the right to grant USAGE on the schema %, which % needs',
                    current_user, current_schema(), role_name
                    USING HINT = 'Let the owner of the schema grant it.';
            END IF;
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role_name);
        END IF;
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', current_schema(), role_name);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %I', current_schema(), role_name);
    END LOOP;

    -- What runs with the owner's rights is for nobody but those named below. The migrations say so too, but a dump that is
    -- restored without privileges, as docs/containers.md does, gives these functions to all.
    FOR owners IN SELECT f.oid FROM pg_proc f
                   WHERE f.pronamespace = current_schema()::regnamespace AND f.prosecdef LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', owners);
        FOREACH role_name IN ARRAY roles LOOP
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', owners, role_name);
        END LOOP;
    END LOOP;
END $$;

-- Workers write results. They delete a job's own timeline when they replace it, and nothing else.
GRANT INSERT, UPDATE ON recordings, analyses TO emofleet_worker;
GRANT INSERT, UPDATE ON batches TO emofleet_worker;
GRANT INSERT, UPDATE, DELETE ON segments, channels TO emofleet_worker;
GRANT INSERT ON alerts, outbox TO emofleet_worker;
GRANT EXECUTE ON FUNCTION segments_month(timestamptz) TO emofleet_worker;

-- Whoever registers a job looks whether it was deleted, and may be asked to analyse it all the same. A trigger adds
-- recordings that are deleted.
GRANT INSERT, UPDATE, DELETE ON forgotten TO emofleet_worker, emofleet_producer, emofleet_console;

-- Producers register jobs, import reviews and prune. `producer migrate` needs the owner's rights instead.
GRANT INSERT, UPDATE, DELETE ON batches, recordings, analyses, reviews TO emofleet_producer;
GRANT UPDATE, DELETE ON channels TO emofleet_producer;
GRANT DELETE ON segments, alerts, outbox TO emofleet_producer;
GRANT EXECUTE ON FUNCTION segments_month(timestamptz), segments_drop_empty_months(timestamptz) TO emofleet_producer;
-- `producer watch` keeps its place, `producer prune` what its clock said.
GRANT INSERT, UPDATE, DELETE ON watches TO emofleet_producer;
GRANT INSERT, UPDATE ON last_prune TO emofleet_producer;

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
GRANT EXECUTE ON FUNCTION segments_month(timestamptz) TO emofleet_console;
GRANT INSERT, UPDATE, DELETE ON console_users, console_sessions, console_tokens, console_requests TO emofleet_console;
GRANT INSERT ON audit, console_submissions TO emofleet_console;
-- Only the console reads hashes of passwords and tokens, and whose requests it knows.
REVOKE SELECT ON console_users, console_sessions, console_tokens, console_requests, console_submissions
    FROM emofleet_worker, emofleet_producer, emofleet_dispatcher, emofleet_reader;
-- Who listened to what is for those who check it, not for services.
REVOKE SELECT ON audit FROM emofleet_worker, emofleet_producer, emofleet_dispatcher;
-- Only dispatchers read what messages say: it has call data that a rule includes for its destinations. The others see that
-- there is a message, and what became of it.
DO $$
DECLARE
    columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                      WHERE attrelid = 'outbox'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'payload');
BEGIN
    EXECUTE 'REVOKE SELECT ON outbox FROM emofleet_worker, emofleet_producer, emofleet_reader, emofleet_console';
    EXECUTE format('GRANT SELECT (%s) ON outbox TO emofleet_worker, emofleet_producer, emofleet_reader, emofleet_console',
                   columns);
END $$;

COMMIT;
