-- Months that retention has emptied.

-- Drops partitions of segments that end before `before` and hold nothing, with the owner's rights; returns how many.
-- A worker that still believes in one writes to segments_undated, which a later segments_month() moves.
CREATE FUNCTION segments_drop_empty_months(before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET timezone = 'UTC' AS $$
DECLARE
    partition text;
    holds     boolean;
    dropped   integer := 0;
BEGIN
    -- In the order of segments_month and of writers.
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
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION segments_drop_empty_months(timestamptz) SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE ALL ON FUNCTION segments_drop_empty_months(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION segments_drop_empty_months IS 'Drops the emptied partitions of segments that end before a moment; returns how many.';
