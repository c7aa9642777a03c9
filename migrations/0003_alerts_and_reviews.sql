-- What followed from what was heard: alerts, the messages they owe, and what people said of it.

CREATE TABLE alerts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id      uuid NOT NULL REFERENCES analyses ON DELETE CASCADE,
    called_at   timestamptz NOT NULL,
    rule        text NOT NULL,
    severity    text NOT NULL,
    channel     smallint,
    segment     integer,
    start_s     real,
    group_key   text NOT NULL,
    message     text NOT NULL DEFAULT '',
    facts       jsonb NOT NULL DEFAULT '{}',
    fired_at    timestamptz NOT NULL DEFAULT now(),
    notified_at timestamptz,
    resolved_at timestamptz,
    CONSTRAINT alerts_once_per_job UNIQUE (job_id, rule)
);
CREATE INDEX alerts_by_rule ON alerts (rule, fired_at DESC);
CREATE INDEX alerts_by_group ON alerts (rule, group_key, fired_at DESC);

COMMENT ON TABLE alerts IS 'A rule of config/alerts.toml that a call fulfilled. Written with the scores, in one transaction; a repeated job fires nothing twice.';
COMMENT ON COLUMN alerts.rule IS 'The rule''s name.';
COMMENT ON COLUMN alerts.channel IS 'Where: channel (-1 for the mix), segment and second at which the rule was fulfilled; NULL for the call as a whole.';
COMMENT ON COLUMN alerts.group_key IS 'What the cool-down counts by: the call, customer or agent, as the rule says.';
COMMENT ON COLUMN alerts.facts IS 'What fulfilled the rule, for the message: {"share": 0.4, "streak": 3}.';
COMMENT ON COLUMN alerts.notified_at IS 'When somebody was told; NULL within the cool-down of an earlier one.';
COMMENT ON COLUMN alerts.resolved_at IS 'When the matter was closed.';

CREATE TABLE outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id        bigint REFERENCES alerts ON DELETE CASCADE,
    destination     text NOT NULL,
    kind            text NOT NULL,
    payload         jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    claimed_by      text,
    claimed_until   timestamptz,
    delivered_at    timestamptz,
    given_up_at     timestamptz,
    last_error      text,
    CONSTRAINT outbox_once UNIQUE (alert_id, destination, kind)
);
CREATE INDEX outbox_waiting ON outbox (destination, next_attempt_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;

COMMENT ON TABLE outbox IS 'Messages owed to the exchange and the webhooks, written in the transaction of their cause, sent by the dispatcher.';
COMMENT ON COLUMN outbox.destination IS 'Name of the destination in the configuration; `amqp` for the exchange.';
COMMENT ON COLUMN outbox.kind IS 'fired, again (after the cool-down) or resolved.';
COMMENT ON COLUMN outbox.claimed_until IS 'A dispatcher has it in hand until then; past it, another may take it.';

CREATE TABLE reviews (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id        uuid NOT NULL REFERENCES analyses ON DELETE CASCADE,
    channel       smallint,
    segment       integer,
    reviewer      text NOT NULL,
    reviewed_at   timestamptz NOT NULL DEFAULT now(),
    model_emotion text,
    emotion       text NOT NULL,
    note          text NOT NULL DEFAULT '',
    CONSTRAINT reviews_one_verdict UNIQUE NULLS NOT DISTINCT (job_id, channel, segment, reviewer),
    CONSTRAINT reviews_segment_has_channel CHECK (segment IS NULL OR channel IS NOT NULL),
    CONSTRAINT reviews_emotion CHECK (emotion IN ('angry', 'disgusted', 'fearful', 'happy', 'neutral', 'other', 'sad', 'surprised', 'unknown'))
);
CREATE INDEX reviews_by_time ON reviews (reviewed_at);

COMMENT ON TABLE reviews IS 'A person''s verdict on a call, a channel of it or a segment. The same person''s newer verdict replaces the older.';
COMMENT ON COLUMN reviews.channel IS 'NULL: the verdict is on the call as a whole. -1: the mix.';
COMMENT ON COLUMN reviews.segment IS 'NULL: on the channel, or the call, as a whole.';
COMMENT ON COLUMN reviews.model_emotion IS 'What the model had said when the verdict was given; kept, since a new analysis replaces the segments.';
COMMENT ON COLUMN reviews.emotion IS 'What it was, by this person. Equal to model_emotion: the model was right.';
