-- One row per job and channel that sums up its timeline, and the view that computes the sum.

-- Narrow, and with the call data beside it: questions about a team and a month are answered from here without
-- reading a segment.
CREATE TABLE channels (
    job_id              uuid NOT NULL,
    channel             smallint NOT NULL,
    called_at           timestamptz NOT NULL,
    recording_id        uuid NOT NULL REFERENCES recordings ON DELETE CASCADE,
    latest              boolean NOT NULL DEFAULT true,
    scored              boolean NOT NULL,
    role                text NOT NULL,
    emotion             emotion,
    segments            integer NOT NULL DEFAULT 0,
    low_confidence      integer NOT NULL DEFAULT 0,
    level_dbfs          real,
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
    CONSTRAINT channels_of_analysis
        FOREIGN KEY (job_id, called_at) REFERENCES analyses (job_id, called_at)
        ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT channels_role CHECK (role IN ('customer', 'agent', 'speaker', 'mixed'))
);

COMMENT ON TABLE channels IS
    'One row per analysis and channel, agent and customer apart; also for channels that the operator''s policy leaves '
    'unscored (scored = false, nothing else filled).';
COMMENT ON COLUMN channels.channel IS 'Channel number from 0; -1 for the mix of all.';
COMMENT ON COLUMN channels.latest IS
    'True for the newest finished analysis of the recording: ask for latest AND scored, or a call analysed by two '
    'models counts twice.';
COMMENT ON COLUMN channels.role IS
    'Who speaks. mixed: the mix of all channels, or one of several channels that hold the same sound.';
COMMENT ON COLUMN channels.scored IS 'False: left out by analysis.score_roles.';
COMMENT ON COLUMN channels.emotion IS 'Likeliest emotion of the channel; NULL without speech.';
COMMENT ON COLUMN channels.level_dbfs IS
    'Level of the loudest second, dB of full scale (root mean square); NULL for digital silence and where scored is false.';
COMMENT ON COLUMN channels.segments IS 'Number of segments of speech.';
COMMENT ON COLUMN channels.low_confidence IS 'Segments whose likeliest emotion has a probability below 0.5.';
COMMENT ON COLUMN channels.angry_s IS 'Seconds of speech predicted as angry.';
COMMENT ON COLUMN channels.negative_s IS 'Seconds of speech predicted as a negative emotion: is_negative().';
COMMENT ON COLUMN channels.score_angry IS
    'The nine scores: mean over the segments, weighted by seconds; they sum to 1.';
COMMENT ON COLUMN channels.peak_angry IS
    'Highest score_angry of a segment; peak_angry_at_s is the second at which that segment begins.';
COMMENT ON COLUMN channels.first_third IS
    'Mean negative score (sum of the scores of the negative emotions) in the first third of the time between the '
    'beginning of the first segment and the end of the last. A segment is in the third that has its middle.';
COMMENT ON COLUMN channels.last_third IS
    'The same in the last third. last_third - first_third is the shift.';
COMMENT ON COLUMN channels.turned_at_s IS
    'The turning point: the begin of the segment that best splits the call into a calmer part before and a more '
    'negative part after. NULL when the mean negative score rises by less than 0.1 at every segment.';
COMMENT ON COLUMN channels.angry_streak IS
    'Longest run of consecutive segments predicted as angry; angry_streak_at_s is the second at which it begins.';
COMMENT ON COLUMN channels.negative_streak IS 'The same for negative emotions.';
COMMENT ON COLUMN channels.team IS
    'Copy of the recording''s call data, cut to 100 characters and kept the same by a trigger; also call_id, agent, '
    'customer.';

-- A corrected manifest, or an UPDATE of a recording by hand, reaches the copies. They are cut, since an index entry
-- has a bound (2704 bytes) and call data nearly none.
CREATE FUNCTION channels_follow_recording() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE channels SET call_id = left(NEW.call_id, 100), agent = left(NEW.agent, 100),
                        team = left(NEW.team, 100), customer = left(NEW.customer, 100)
     WHERE recording_id = NEW.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION channels_follow_recording IS 'Trigger: copies changed call data of a recording to its channels.';
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION channels_follow_recording() SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE ALL ON FUNCTION channels_follow_recording() FROM PUBLIC;
CREATE TRIGGER channels_follow_recording AFTER UPDATE ON recordings FOR EACH ROW
    WHEN ((OLD.call_id, OLD.agent, OLD.team, OLD.customer)
          IS DISTINCT FROM (NEW.call_id, NEW.agent, NEW.team, NEW.customer))
    EXECUTE FUNCTION channels_follow_recording();

-- The sum of a timeline, computed from its segments. Ask for one job, or for a month: the window functions partition
-- by job_id, called_at and channel, so that conditions on these reach the table.
--
-- An example: six segments of 4 s, half a second apart.
--
--   segment                     0        1        2        3        4        5
--   start_s                     0.0      4.5      9.0      13.5     18.0     22.5
--   emotion                     neutral  happy    neutral  angry    angry    sad
--   negative (score)            0        0        0        0.7      0.9      0.8
--
--   middle of the segment       2        6.5      11       15.5     20       24.5      the call lasts from 0 to 26.5
--   third                       first    first                      last     last      at 8.83 and 17.67
--   position                    1        2        3        4        5        6
--   angry_run                   1        2        3        3        3        4         position - angry so far
--   negative_run                1        2        3        3        3        3         position - negative so far
--   rise                        -        0.48     0.60     0.80     0.68     0.48      mean from here on - mean before
--   balance                     -        8.9      11.3     12.0     11.3     8.9       sqrt(seconds before * after)
--   rise * balance              -        4.3      6.8      9.6      7.6      4.3
--
-- first_third is 0 and last_third 0.85, the mean of 0.9 and 0.8. Segments 3 and 4 are angry and share a run: a streak
-- of 2 from 13.5 s. Segments 3, 4 and 5 are negative and share a run: a streak of 3 from 13.5 s. rise * balance is
-- highest at segment 3: the call turned at 13.5 s.
CREATE VIEW channel_course AS
WITH numbered AS (
    SELECT job_id, called_at, channel, segment, start_s, end_s, confidence, score_angry,
           end_s - start_s AS seconds,
           CASE WHEN is_negative('angry') THEN score_angry ELSE 0 END
             + CASE WHEN is_negative('disgusted') THEN score_disgusted ELSE 0 END
             + CASE WHEN is_negative('fearful') THEN score_fearful ELSE 0 END
             + CASE WHEN is_negative('happy') THEN score_happy ELSE 0 END
             + CASE WHEN is_negative('neutral') THEN score_neutral ELSE 0 END
             + CASE WHEN is_negative('other') THEN score_other ELSE 0 END
             + CASE WHEN is_negative('sad') THEN score_sad ELSE 0 END
             + CASE WHEN is_negative('surprised') THEN score_surprised ELSE 0 END
             + CASE WHEN is_negative('unknown') THEN score_unknown ELSE 0 END AS negative,
           emotion = 'angry' AS is_angry,
           is_negative(emotion) AS is_negative,
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
           -- Segments of one run share this number: the position minus the count of like segments so far.
           position - count(*) FILTER (WHERE is_angry) OVER timeline AS angry_run,
           position - count(*) FILTER (WHERE is_negative) OVER timeline AS negative_run,
           sum(seconds) OVER before AS seconds_before,
           sum(seconds * negative) OVER before AS negative_before,
           sum(seconds) OVER call AS seconds_all,
           sum(seconds * negative) OVER call AS negative_all
      FROM numbered
    WINDOW call AS (PARTITION BY job_id, called_at, channel),
           timeline AS (PARTITION BY job_id, called_at, channel ORDER BY segment),
           before AS (PARTITION BY job_id, called_at, channel ORDER BY segment
                      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), measured AS (
    SELECT *,
           count(*) FILTER (WHERE is_angry) OVER angry AS angry_length,
           min(start_s) FILTER (WHERE is_angry) OVER angry AS angry_from,
           count(*) FILTER (WHERE is_negative) OVER negative AS negative_length,
           min(start_s) FILTER (WHERE is_negative) OVER negative AS negative_from,
           -- The rise of the mean at this segment, and a weight that prefers splits with much speech on both sides.
           CASE WHEN seconds_before > 0 AND seconds_all > seconds_before
                THEN (negative_all - negative_before) / (seconds_all - seconds_before)
                     - negative_before / seconds_before END AS rise,
           CASE WHEN seconds_before > 0 AND seconds_all > seconds_before
                THEN sqrt(seconds_before * (seconds_all - seconds_before)) END AS balance
      FROM placed
    WINDOW angry AS (PARTITION BY job_id, called_at, channel, is_angry, angry_run),
           negative AS (PARTITION BY job_id, called_at, channel, is_negative, negative_run)
)
SELECT job_id, called_at, channel,
       count(*)::integer AS segments,
       (count(*) FILTER (WHERE confidence < 0.5))::integer AS low_confidence,
       coalesce(sum(seconds) FILTER (WHERE is_angry), 0)::real AS angry_s,
       coalesce(sum(seconds) FILTER (WHERE is_negative), 0)::real AS negative_s,
       max(score_angry) AS peak_angry,
       (array_agg(start_s ORDER BY score_angry DESC, segment))[1] AS peak_angry_at_s,
       (sum(seconds * negative) FILTER (WHERE in_first_third)
          / nullif(sum(seconds) FILTER (WHERE in_first_third), 0))::real AS first_third,
       (sum(seconds * negative) FILTER (WHERE in_last_third)
          / nullif(sum(seconds) FILTER (WHERE in_last_third), 0))::real AS last_third,
       (array_agg(start_s ORDER BY rise * balance DESC NULLS LAST, segment)
          FILTER (WHERE rise >= 0.1))[1] AS turned_at_s,
       max(angry_length)::integer AS angry_streak,
       (array_agg(angry_from ORDER BY angry_length DESC, segment) FILTER (WHERE is_angry))[1] AS angry_streak_at_s,
       max(negative_length)::integer AS negative_streak,
       (array_agg(negative_from ORDER BY negative_length DESC, segment)
          FILTER (WHERE is_negative))[1] AS negative_streak_at_s
  FROM measured
 GROUP BY job_id, called_at, channel;
COMMENT ON VIEW channel_course IS
    'What the table channels keeps of a timeline, computed from the segments; the comments of that table define the '
    'columns. Ask for a job_id or a called_at.';
