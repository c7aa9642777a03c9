-- Alerts, the messages that they owe, and the state of each destination.

CREATE TABLE alerts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id      uuid NOT NULL,
    called_at   timestamptz NOT NULL,
    rule        text NOT NULL,
    severity    text NOT NULL,
    channel     smallint,
    segment     integer,
    start_s     real,
    group_key   text NOT NULL,
    message     text NOT NULL DEFAULT '',
    evidence    jsonb NOT NULL DEFAULT '[]',
    fired_at    timestamptz NOT NULL DEFAULT now(),
    queued_at   timestamptz,
    resolved_at timestamptz,
    CONSTRAINT alerts_once_per_job UNIQUE (job_id, rule),
    CONSTRAINT alerts_of_analysis
        FOREIGN KEY (job_id, called_at) REFERENCES analyses (job_id, called_at)
        ON UPDATE CASCADE ON DELETE CASCADE
);

COMMENT ON TABLE alerts IS
    'A call that matched a rule of config/alerts.toml. Written with the scores, in one transaction; a repeated job '
    'fires nothing twice.';
COMMENT ON COLUMN alerts.called_at IS 'Copy of analyses.called_at.';
COMMENT ON COLUMN alerts.rule IS 'Name of the rule.';
COMMENT ON COLUMN alerts.channel IS
    'Where the rule matched: channel (-1 for the mix), segment and second; NULL for the call as a whole.';
COMMENT ON COLUMN alerts.group_key IS
    'What the cool-down counts by: `call:17`, `customer:c-4`, `agent:...`, `team:...`, or `recording:UUID` for a call '
    'without that field.';
COMMENT ON COLUMN alerts.evidence IS
    'Why the rule matched, a list: which emotion on which channel, in which segments, from which second, with its '
    'numbers.';
COMMENT ON COLUMN alerts.queued_at IS
    'When its messages were put into the outbox, in the transaction that fired it; NULL within the cool-down of an '
    'earlier alert.';
COMMENT ON COLUMN alerts.resolved_at IS
    'When it was resolved: no alert of its rule and group had fired for the rule''s resolve_after.';

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
    alone           boolean NOT NULL DEFAULT false,
    CONSTRAINT outbox_once UNIQUE (alert_id, destination, kind)
);

COMMENT ON TABLE outbox IS
    'Messages for the exchange and the webhooks, written in the transaction of their alert, sent by the dispatcher.';
COMMENT ON COLUMN outbox.destination IS 'Name of the destination in the configuration; `amqp` for the exchange.';
COMMENT ON COLUMN outbox.kind IS 'fired, again (after the cool-down) or resolved.';
COMMENT ON COLUMN outbox.payload IS 'The alert as JSON, without the link; docs/alerts.md describes it.';
COMMENT ON COLUMN outbox.attempts IS
    'Delivery attempts, a claimed one included. A service that asks to wait (rate limit) counts as none.';
COMMENT ON COLUMN outbox.claimed_until IS
    'End of the lease of the dispatcher in claimed_by; after it another dispatcher may claim the message.';
COMMENT ON COLUMN outbox.given_up_at IS
    'Set after alerts.max_attempts failed attempts; there are no more until `dispatcher retry` clears it.';
COMMENT ON COLUMN outbox.alone IS
    'The destination refused a digest that contains this message: it is sent by itself, so that the others arrive.';

CREATE TABLE destinations (
    name              text PRIMARY KEY,
    failures          integer NOT NULL DEFAULT 0,
    blocked_until     timestamptz,
    last_error        text,
    last_delivered_at timestamptz
);
COMMENT ON TABLE destinations IS
    'The state of each destination of alerts. Its row is locked while a dispatcher decides what may be sent.';
COMMENT ON COLUMN destinations.failures IS 'Consecutive failures; the backoff grows with them.';
COMMENT ON COLUMN destinations.blocked_until IS
    'Nothing is sent to it until then: it failed, or asked to wait (rate limit).';

CREATE TABLE destination_sends (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    destination text NOT NULL REFERENCES destinations ON DELETE CASCADE,
    begun_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz
);
COMMENT ON TABLE destination_sends IS
    'Requests of the last minutes, for the rate limit of each destination. A request counts until one window after '
    'its end: whenever it arrived, no more than the limit arrive within a window.';

CREATE VIEW alert_deliveries AS
SELECT o.destination,
       count(*) FILTER (WHERE o.delivered_at IS NULL AND o.given_up_at IS NULL) AS waiting,
       min(o.created_at) FILTER (WHERE o.delivered_at IS NULL AND o.given_up_at IS NULL) AS oldest_waiting,
       count(*) FILTER (WHERE o.delivered_at > now() - interval '1 day') AS delivered_today,
       count(*) FILTER (WHERE o.given_up_at IS NOT NULL) AS given_up,
       d.failures, CASE WHEN d.blocked_until > now() THEN d.blocked_until END AS blocked_until,
       d.last_error, d.last_delivered_at
  FROM outbox o LEFT JOIN destinations d ON d.name = o.destination
 GROUP BY o.destination, d.failures, d.blocked_until, d.last_error, d.last_delivered_at;
COMMENT ON VIEW alert_deliveries IS 'Each destination of alerts: what waits, what was given up, and why.';
COMMENT ON COLUMN alert_deliveries.delivered_today IS 'Messages delivered in the last 24 hours.';
