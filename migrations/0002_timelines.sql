-- What was heard when: a row per stretch of speech, and a row per channel that sums it up.

CREATE TABLE segments (
    job_id          uuid NOT NULL,
    called_at       timestamptz NOT NULL,
    channel         smallint NOT NULL,
    segment         integer NOT NULL,
    role            text NOT NULL,
    start_s         real NOT NULL,
    end_s           real NOT NULL,
    emotion         text NOT NULL,
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
    CONSTRAINT segments_of_analysis FOREIGN KEY (job_id, called_at) REFERENCES analyses (job_id, called_at) ON DELETE CASCADE,
    CONSTRAINT segments_role CHECK (role IN ('customer', 'agent', 'speaker', 'mixed')),
    CONSTRAINT segments_emotion CHECK (emotion IN ('angry', 'disgusted', 'fearful', 'happy', 'neutral', 'other', 'sad', 'surprised', 'unknown')),
    CONSTRAINT segments_span CHECK (end_s >= start_s)
) PARTITION BY RANGE (called_at);

-- Catches what no month was made for: calls dated far in the past or the future.
CREATE TABLE segments_undated PARTITION OF segments DEFAULT;

COMMENT ON TABLE segments IS 'The timeline: one row per stretch of speech on a scored channel. Partitioned by month of called_at; give called_at in a WHERE and only that month is read.';
COMMENT ON COLUMN segments.called_at IS 'Copy of analyses.called_at.';
COMMENT ON COLUMN segments.channel IS 'Channel number from 0; -1 for the mix of all.';
COMMENT ON COLUMN segments.segment IS 'Number within the channel, from 0.';
COMMENT ON COLUMN segments.role IS 'Who speaks: customer, agent, speaker (nobody said who), mixed.';
COMMENT ON COLUMN segments.start_s IS 'Seconds from the beginning of the recording.';
COMMENT ON COLUMN segments.confidence IS 'Probability of the likeliest emotion, 0 to 1.';
COMMENT ON COLUMN segments.score_angry IS 'The nine probabilities sum to 1.';
COMMENT ON TABLE segments_undated IS 'Segments of calls before 2000 or more than a month ahead: probably a wrong clock or date format.';

-- Makes the partition for the month of `moment`, if there is none, with the owner's rights: workers need no
-- right to create tables. Call it in a transaction of its own, before the one that writes.
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
    -- Attaching locks these three in another order than writers do: taking them first, in the writers' order,
    -- leaves nothing to deadlock on. The first also lets one maker in at a time.
    LOCK TABLE analyses IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE segments IN SHARE UPDATE EXCLUSIVE MODE;
    LOCK TABLE segments_undated IN ACCESS EXCLUSIVE MODE;
    IF to_regclass(quote_ident(partition)) IS NOT NULL THEN
        RETURN partition; -- another worker made it while this one waited
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE segments INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition);
    -- Rows that came before their partition did move into it.
    EXECUTE format('WITH moved AS (DELETE FROM segments_undated WHERE called_at >= %L AND called_at < %L RETURNING *)
                    INSERT INTO %I SELECT * FROM moved', first_day, next_month, partition);
    EXECUTE format('ALTER TABLE segments ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, first_day, next_month);
    RETURN partition;
END $$;
-- Names are looked up in the schema of this migration alone, whatever the caller's search_path.
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION segments_month(timestamptz) SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE ALL ON FUNCTION segments_month(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION segments_month IS 'Makes the partition of segments for the month of a moment, once, under concurrency; returns its name.';

-- The sum of a channel's timeline. Kept narrow and with the call data beside it, since what inspectors ask of a
-- team and a month is answered from here without reading a segment.
CREATE TABLE channels (
    job_id              uuid NOT NULL,
    channel             smallint NOT NULL,
    called_at           timestamptz NOT NULL,
    recording_id        uuid NOT NULL REFERENCES recordings ON DELETE CASCADE,
    latest              boolean NOT NULL DEFAULT true,
    scored              boolean NOT NULL,
    role                text NOT NULL,
    emotion             text,
    segments            integer NOT NULL DEFAULT 0,
    low_confidence      integer NOT NULL DEFAULT 0,
    speech_s            real NOT NULL DEFAULT 0,
    angry_s             real NOT NULL DEFAULT 0,
    negative_s          real NOT NULL DEFAULT 0,
    score_angry         real,
    score_disgusted     real,
    score_fearful       real,
    score_happy         real,
    score_neutral       real,
    score_other         real,
    score_sad           real,
    score_surprised     real,
    score_unknown       real,
    peak_angry          real,
    peak_angry_at_s     real,
    first_third         real,
    last_third          real,
    turned_at_s         real,
    angry_streak        integer NOT NULL DEFAULT 0,
    angry_streak_at_s   real,
    negative_streak     integer NOT NULL DEFAULT 0,
    negative_streak_at_s real,
    call_id             text,
    agent               text,
    team                text,
    customer            text,
    PRIMARY KEY (job_id, channel),
    CONSTRAINT channels_of_analysis FOREIGN KEY (job_id, called_at) REFERENCES analyses (job_id, called_at) ON DELETE CASCADE,
    CONSTRAINT channels_role CHECK (role IN ('customer', 'agent', 'speaker', 'mixed')),
    CONSTRAINT channels_emotion CHECK (emotion IN ('angry', 'disgusted', 'fearful', 'happy', 'neutral', 'other', 'sad', 'surprised', 'unknown'))
);
CREATE INDEX channels_by_recording ON channels (recording_id);

COMMENT ON TABLE channels IS 'One row per analysis and channel, agent and customer apart; also for channels that the operator''s policy leaves unscored (scored = false, nothing else filled).';
COMMENT ON COLUMN channels.channel IS 'Channel number from 0; -1 for the mix of all.';
COMMENT ON COLUMN channels.latest IS 'True for the newest finished analysis of the recording: ask for latest AND scored, or a call heard by two models counts twice.';
COMMENT ON COLUMN channels.scored IS 'False: left out by analysis.score_roles.';
COMMENT ON COLUMN channels.emotion IS 'Likeliest emotion of the channel; NULL without speech.';
COMMENT ON COLUMN channels.segments IS 'Stretches of speech.';
COMMENT ON COLUMN channels.low_confidence IS 'Segments whose likeliest emotion has a probability below 0.5.';
COMMENT ON COLUMN channels.angry_s IS 'Seconds of speech heard as angry.';
COMMENT ON COLUMN channels.negative_s IS 'Seconds of speech heard as angry, disgusted, fearful or sad.';
COMMENT ON COLUMN channels.score_angry IS 'The nine scores: mean over the segments, weighted by seconds; they sum to 1.';
COMMENT ON COLUMN channels.peak_angry IS 'Highest score_angry of a segment, and where that segment begins.';
COMMENT ON COLUMN channels.first_third IS 'Mean negative score (angry + disgusted + fearful + sad) in the first third of the time between the first and the last word.';
COMMENT ON COLUMN channels.last_third IS 'The same in the last third. last_third - first_third is the shift. A segment belongs where its middle lies.';
COMMENT ON COLUMN channels.turned_at_s IS 'Where the call turned: the segment start that best splits it into a calmer before and a more negative after. NULL when the means differ by less than 0.1.';
COMMENT ON COLUMN channels.angry_streak IS 'Longest run of segments heard as angry one after the other, and where it begins.';
COMMENT ON COLUMN channels.negative_streak IS 'The same for angry, disgusted, fearful or sad.';
COMMENT ON COLUMN channels.team IS 'Copy of the recording''s call data, kept the same by a trigger; also call_id, agent, customer.';

-- A corrected manifest, or a hand's UPDATE of a recording, reaches the copies.
CREATE FUNCTION channels_follow_recording() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE channels SET call_id = NEW.call_id, agent = NEW.agent, team = NEW.team, customer = NEW.customer
     WHERE recording_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER channels_follow_recording AFTER UPDATE ON recordings FOR EACH ROW
    WHEN ((OLD.call_id, OLD.agent, OLD.team, OLD.customer) IS DISTINCT FROM (NEW.call_id, NEW.agent, NEW.team, NEW.customer))
    EXECUTE FUNCTION channels_follow_recording();

-- What `channels` keeps of a timeline, computed from it. Ask for one job, or for a month:
-- the window functions partition by job_id, called_at and channel, so conditions on these go down to the table.
CREATE VIEW channel_course AS
WITH numbered AS (
    SELECT job_id, called_at, channel, segment, start_s, end_s, confidence, score_angry,
           end_s - start_s AS seconds,
           score_angry + score_disgusted + score_fearful + score_sad AS negative,
           emotion = 'angry' AS is_angry,
           emotion IN ('angry', 'disgusted', 'fearful', 'sad') AS is_negative,
           min(start_s) OVER call AS first_word,
           max(end_s) OVER call AS last_word,
           row_number() OVER timeline AS position
      FROM segments
    WINDOW call AS (PARTITION BY job_id, called_at, channel),
           timeline AS (PARTITION BY job_id, called_at, channel ORDER BY segment)
), placed AS (
    SELECT *,
           (start_s + end_s) / 2 < first_word + (last_word - first_word) / 3 AS in_first_third,
           (start_s + end_s) / 2 >= last_word - (last_word - first_word) / 3 AS in_last_third,
           -- Rows of one run share this number: position minus the count of like rows so far.
           position - count(*) FILTER (WHERE is_angry) OVER timeline AS angry_run,
           position - count(*) FILTER (WHERE is_negative) OVER timeline AS negative_run,
           sum(seconds) OVER before AS seconds_before,
           sum(seconds * negative) OVER before AS negative_before,
           sum(seconds) OVER call AS seconds_all,
           sum(seconds * negative) OVER call AS negative_all
      FROM numbered
    WINDOW call AS (PARTITION BY job_id, called_at, channel),
           timeline AS (PARTITION BY job_id, called_at, channel ORDER BY segment),
           before AS (PARTITION BY job_id, called_at, channel ORDER BY segment ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), judged AS (
    SELECT *,
           count(*) FILTER (WHERE is_angry) OVER (PARTITION BY job_id, called_at, channel, is_angry, angry_run) AS angry_length,
           min(start_s) FILTER (WHERE is_angry) OVER (PARTITION BY job_id, called_at, channel, is_angry, angry_run) AS angry_from,
           count(*) FILTER (WHERE is_negative) OVER (PARTITION BY job_id, called_at, channel, is_negative, negative_run) AS negative_length,
           min(start_s) FILTER (WHERE is_negative) OVER (PARTITION BY job_id, called_at, channel, is_negative, negative_run) AS negative_from,
           -- The rise of the mean at this segment, and the weight that favours splits with enough on both sides.
           CASE WHEN seconds_before > 0 AND seconds_all > seconds_before
                THEN (negative_all - negative_before) / (seconds_all - seconds_before) - negative_before / seconds_before END AS rise,
           CASE WHEN seconds_before > 0 AND seconds_all > seconds_before
                THEN sqrt(seconds_before * (seconds_all - seconds_before)) END AS balance
      FROM placed
)
SELECT job_id, called_at, channel,
       count(*)::integer AS segments,
       (count(*) FILTER (WHERE confidence < 0.5))::integer AS low_confidence,
       coalesce(sum(seconds) FILTER (WHERE is_angry), 0)::real AS angry_s,
       coalesce(sum(seconds) FILTER (WHERE is_negative), 0)::real AS negative_s,
       max(score_angry) AS peak_angry,
       (array_agg(start_s ORDER BY score_angry DESC, segment))[1] AS peak_angry_at_s,
       (sum(seconds * negative) FILTER (WHERE in_first_third) / nullif(sum(seconds) FILTER (WHERE in_first_third), 0))::real AS first_third,
       (sum(seconds * negative) FILTER (WHERE in_last_third) / nullif(sum(seconds) FILTER (WHERE in_last_third), 0))::real AS last_third,
       (array_agg(start_s ORDER BY rise * balance DESC NULLS LAST, segment) FILTER (WHERE rise >= 0.1))[1] AS turned_at_s,
       max(angry_length)::integer AS angry_streak,
       (array_agg(angry_from ORDER BY angry_length DESC, segment) FILTER (WHERE is_angry))[1] AS angry_streak_at_s,
       max(negative_length)::integer AS negative_streak,
       (array_agg(negative_from ORDER BY negative_length DESC, segment) FILTER (WHERE is_negative))[1] AS negative_streak_at_s
  FROM judged
 GROUP BY job_id, called_at, channel;
COMMENT ON VIEW channel_course IS 'What the table channels keeps of a timeline, computed from the segments; the definitions stand in the comments of that table. Give job_id or called_at.';
