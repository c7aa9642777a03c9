-- Verdicts of people on predictions.

CREATE TABLE reviews (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id        uuid NOT NULL REFERENCES analyses ON DELETE CASCADE,
    channel       smallint,
    segment       integer,
    reviewer      text NOT NULL,
    reviewed_at   timestamptz NOT NULL DEFAULT now(),
    model_emotion emotion,
    emotion       emotion NOT NULL,
    note          text NOT NULL DEFAULT '',
    CONSTRAINT reviews_one_verdict UNIQUE NULLS NOT DISTINCT (job_id, channel, segment, reviewer),
    CONSTRAINT reviews_segment_has_channel CHECK (segment IS NULL OR channel IS NOT NULL)
);

COMMENT ON TABLE reviews IS
    'A person''s verdict on a call, one of its channels or a segment. A newer verdict of the same person replaces the '
    'older one.';
COMMENT ON COLUMN reviews.channel IS 'NULL: the verdict is on the call as a whole. -1: the mix.';
COMMENT ON COLUMN reviews.segment IS 'NULL: on the channel, or the call, as a whole.';
COMMENT ON COLUMN reviews.model_emotion IS
    'The model''s prediction when the verdict was given; kept, since a new analysis replaces the segments.';
COMMENT ON COLUMN reviews.emotion IS
    'The emotion by this person. Equal to model_emotion: the model was right.';
