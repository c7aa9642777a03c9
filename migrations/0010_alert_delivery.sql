-- Delivery of alerts: what each destination was sent, and how it fares.

ALTER TABLE outbox ADD COLUMN alone boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN outbox.alone IS 'The destination refused a digest with this in it: it is sent by itself, so as to harm no others.';
COMMENT ON COLUMN outbox.attempts IS 'Times it was tried, an attempt in hand included. Waiting for a service that limits us counts as none.';
COMMENT ON COLUMN outbox.given_up_at IS 'Set after alerts.max_attempts failures: nobody tries again. `console alerts retry` clears it.';
COMMENT ON COLUMN outbox.payload IS 'The alert as JSON, without the link; docs/alerts.md describes it.';
COMMENT ON COLUMN alerts.notified_at IS 'When messages of it were put into the outbox, in the transaction that fired it; NULL within the cool-down of an earlier one.';
COMMENT ON COLUMN alerts.resolved_at IS 'When the matter was closed: nothing of its rule and group fired for the rule''s resolve_after.';
COMMENT ON COLUMN alerts.group_key IS 'What the cool-down counts by: `call:17`, `customer:c-4`, `agent:...`, `team:...`, or `recording:UUID` for a call without that datum.';
COMMENT ON COLUMN alerts.facts IS 'The evidence, a list: what was heard on which channel, in which segments, from which second, with its numbers.';

-- The cool-down asks for the newest that somebody was told of; the sweep for what is still open.
CREATE INDEX alerts_told ON alerts (rule, group_key, fired_at DESC) WHERE notified_at IS NOT NULL;
CREATE INDEX alerts_open ON alerts (rule, group_key, fired_at DESC) WHERE resolved_at IS NULL;

CREATE TABLE destinations (
    name              text PRIMARY KEY,
    failures          integer NOT NULL DEFAULT 0,
    blocked_until     timestamptz,
    last_error        text,
    last_delivered_at timestamptz
);
COMMENT ON TABLE destinations IS 'How each destination of alerts fares. Its row is locked while a dispatcher decides what may be sent.';
COMMENT ON COLUMN destinations.failures IS 'Failures in a row; the pause grows with them.';
COMMENT ON COLUMN destinations.blocked_until IS 'Nothing is sent to it until then: it failed, or said that it was too much.';

CREATE TABLE destination_sends (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    destination text NOT NULL REFERENCES destinations ON DELETE CASCADE,
    begun_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at    timestamptz
);
CREATE INDEX destination_sends_recent ON destination_sends (destination, begun_at);
COMMENT ON TABLE destination_sends IS 'Requests of the last minutes, for the limits of each destination. One counts until a window after its end: whenever it arrived, no more than the limit arrive within the window.';

CREATE VIEW alert_deliveries AS
SELECT o.destination,
       count(*) FILTER (WHERE o.delivered_at IS NULL AND o.given_up_at IS NULL) AS waiting,
       min(o.created_at) FILTER (WHERE o.delivered_at IS NULL AND o.given_up_at IS NULL) AS oldest_waiting,
       count(*) FILTER (WHERE o.delivered_at > now() - interval '1 day') AS delivered_today,
       count(*) FILTER (WHERE o.given_up_at IS NOT NULL) AS given_up,
       d.failures, CASE WHEN d.blocked_until > now() THEN d.blocked_until END AS blocked_until, d.last_error, d.last_delivered_at
  FROM outbox o LEFT JOIN destinations d ON d.name = o.destination
 GROUP BY o.destination, d.failures, d.blocked_until, d.last_error, d.last_delivered_at;
COMMENT ON VIEW alert_deliveries IS 'Each destination of alerts: what waits, what was given up, and why.';
COMMENT ON COLUMN alert_deliveries.delivered_today IS 'Messages delivered in the last 24 hours.';
