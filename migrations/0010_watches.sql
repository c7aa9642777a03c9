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
