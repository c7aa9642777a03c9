-- What `producer watch` remembers, so that a restart neither lists everything nor enqueues anything again.

CREATE TABLE watches (
    id          uuid PRIMARY KEY,
    bucket      text NOT NULL,
    prefix      text NOT NULL,
    listed_at   timestamptz NOT NULL,
    range_after text[] NOT NULL,
    range_until text[] NOT NULL,
    CONSTRAINT watches_ranges CHECK (cardinality(range_after) = cardinality(range_until))
);
COMMENT ON TABLE watches IS
    'One row per watched prefix and set of options: where new recordings come, by the latest listing of the whole prefix.';
COMMENT ON COLUMN watches.id IS 'UUIDv5 of bucket, prefix and options.';
COMMENT ON COLUMN watches.listed_at IS 'When the latest complete listing of the whole prefix began.';
COMMENT ON COLUMN watches.range_after IS
    'Ranges of keys in which objects were written lately: the keys behind this one ...';
COMMENT ON COLUMN watches.range_until IS '... up to and including this one; NULL: to the end of the prefix.';

-- A recording whose rows were pruned may still be in the store: a watcher must not take it for a new one.
CREATE TABLE pruned_recordings (
    id        uuid PRIMARY KEY,
    pruned_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pruned_recordings IS
    'Recordings whose rows were deleted by retention or on request. `producer watch` leaves them out; `producer enqueue` '
    'takes them with --force.';
COMMENT ON COLUMN pruned_recordings.id IS 'The id that the recording had: a hash of bucket, key and etag, and nothing else of it.';

CREATE FUNCTION recordings_remember_pruned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pruned_recordings (id) SELECT id FROM gone ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION recordings_remember_pruned IS 'Trigger: keeps the ids of deleted recordings.';
CREATE TRIGGER recordings_remember_pruned AFTER DELETE ON recordings REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION recordings_remember_pruned();
