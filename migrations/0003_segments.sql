-- The timeline of each job: one row per segment of speech, partitioned by month.

CREATE TABLE segments (
    job_id          uuid NOT NULL,
    called_at       timestamptz NOT NULL,
    channel         smallint NOT NULL,
    segment         integer NOT NULL,
    role            text NOT NULL,
    start_s         real NOT NULL,
    end_s           real NOT NULL,
    emotion         emotion NOT NULL,
    confidence      real NOT NULL,
    score_angry     real NOT NULL,
    score_disgusted real NOT NULL,
    score_fearful   real NOT NULL,
    score_happy     real NOT NULL,
    score_neutral   real NOT NULL,
    score_other     real NOT NULL,
    score_sad       real NOT NULL,
    score_surprised real NOT NULL,
    score_unknown   real NOT NULL,
    PRIMARY KEY (job_id, called_at, channel, segment),
    CONSTRAINT segments_of_analysis
        FOREIGN KEY (job_id, called_at) REFERENCES analyses (job_id, called_at)
        ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT segments_role CHECK (role IN ('customer', 'agent', 'speaker', 'mixed')),
    CONSTRAINT segments_span CHECK (end_s >= start_s)
) PARTITION BY RANGE (called_at);

-- For calls that have no month of their own: dated before 2000.
CREATE TABLE segments_undated PARTITION OF segments DEFAULT;

COMMENT ON TABLE segments IS
    'The timeline: one row per segment of speech on a scored channel. Partitioned by month of called_at: with '
    'called_at in the WHERE clause only that month is read.';
COMMENT ON COLUMN segments.called_at IS 'Copy of analyses.called_at.';
COMMENT ON COLUMN segments.channel IS 'Channel number from 0; -1 for the mix of all.';
COMMENT ON COLUMN segments.segment IS 'Number within the channel, from 0.';
COMMENT ON COLUMN segments.role IS 'Who speaks: customer, agent, speaker (not known which), mixed.';
COMMENT ON COLUMN segments.start_s IS 'Seconds from the beginning of the recording.';
COMMENT ON COLUMN segments.confidence IS 'Probability of the likeliest emotion, 0 to 1.';
COMMENT ON COLUMN segments.score_angry IS 'The nine probabilities; they sum to 1.';
COMMENT ON TABLE segments_undated IS
    'Segments of calls before 2000: probably a wrong clock or date format.';

-- Runs with the rights of the schema's owner, since workers may not create tables. Call it in a transaction of its
-- own, before the one that writes segments.
CREATE FUNCTION segments_month(moment timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET timezone = 'UTC' AS $$
DECLARE
    first_day  timestamptz := date_trunc('month', moment);
    next_month timestamptz := first_day + interval '1 month';
    partition  text := 'segments_' || to_char(first_day, 'YYYY_MM');
BEGIN
    IF moment IS NULL OR moment < '2000-01-01' OR moment >= date_trunc('month', now()) + interval '2 months' THEN
        RETURN 'segments_undated';
    END IF;
    IF to_regclass(quote_ident(partition)) IS NOT NULL THEN
        RETURN partition;
    END IF;
    -- ATTACH PARTITION locks these three tables in another order than writers do. Taking the locks first, in the
    -- writers' order, rules out a deadlock; the first lock also lets one caller at a time create a partition.
    LOCK TABLE analyses IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE segments IN SHARE UPDATE EXCLUSIVE MODE;
    LOCK TABLE segments_undated IN ACCESS EXCLUSIVE MODE;
    IF to_regclass(quote_ident(partition)) IS NOT NULL THEN
        RETURN partition; -- another worker created it while this one waited
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE segments INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition);
    -- Rows written before their partition existed move into it.
    EXECUTE format('WITH moved AS (DELETE FROM segments_undated WHERE called_at >= %L AND called_at < %L RETURNING *)
                    INSERT INTO %I SELECT * FROM moved', first_day, next_month, partition);
    EXECUTE format('ALTER TABLE segments ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   partition, first_day, next_month);
    RETURN partition;
END $$;
COMMENT ON FUNCTION segments_month IS
    'Creates the partition of segments for the month of a moment, once, also under concurrency; returns its name.';

-- Runs with the rights of the schema's owner. A worker that still takes a dropped partition for present writes to
-- segments_undated; the next segments_month() for that month moves the rows.
CREATE FUNCTION segments_drop_empty_months(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET timezone = 'UTC' AS $$
DECLARE
    partition text;
    holds     boolean;
    dropped   integer := 0;
BEGIN
    -- The same order of locks as in segments_month and in writers.
    LOCK TABLE analyses IN SHARE ROW EXCLUSIVE MODE;
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'segments'::regclass AND c.relname ~ '^segments_\d{4}_\d{2}$'
           AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= before
         ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', partition) INTO holds;
        IF NOT holds THEN
            EXECUTE format('DROP TABLE %I', partition);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END $$;
COMMENT ON FUNCTION segments_drop_empty_months IS
    'Drops the empty partitions of segments that end before a moment; returns how many.';

-- Both look names up in this schema alone, whatever the caller's search_path, and only roles that are granted the
-- right may call them.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION segments_month(timestamptz) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION segments_drop_empty_months(timestamptz) SET search_path = %I, pg_temp',
                   current_schema());
END $$;
REVOKE ALL ON FUNCTION segments_month(timestamptz), segments_drop_empty_months(timestamptz) FROM PUBLIC;
