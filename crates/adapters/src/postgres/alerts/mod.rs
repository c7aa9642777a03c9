//! Alerts, written in the transaction that stores the result: an alert exists exactly when its scores do, and so do
//! its messages in the outbox.

use domain::alert::{AMQP, AlertMessage, CallField, MessageKind, Rule, RuleMatch, Rulebook, Subject};
use domain::{Failure, Report};
use serde_json::json;
use sqlx::{PgConnection, Row};

use super::conflict::repeated;
use super::jobs::recording_id;
use super::{Database, rows, text};
use crate::boxed;

/// The channel on which dispatchers are notified of new messages.
pub(super) const CHANNEL: &str = "emofleet_outbox";

impl Database {
    /// Resolves groups that had no alert for their rule's `resolve_after`, and queues messages of it for the
    /// destinations that got the alert. Returns the number of groups. Several programs may do so at once.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn resolve_quiet(&self, rulebook: &Rulebook) -> Result<u64, Failure> {
        let mut resolved = 0;
        for rule in &rulebook.rules {
            let Some(after) = rule.resolve_after else { continue };
            resolved += self.resolve_rule(rule, after.as_secs_f64()).await?;
        }
        Ok(resolved)
    }

    async fn resolve_rule(&self, rule: &Rule, after_s: f64) -> Result<u64, Failure> {
        // A bounded number at a time: the next sweep finds the rest.
        const GROUPS: &str = "SELECT group_key FROM alerts WHERE rule = $1 AND resolved_at IS NULL
            GROUP BY group_key HAVING max(fired_at) < clock_timestamp() - make_interval(secs => $2) LIMIT 500";
        const RESOLVE: &str = include_str!("resolve.sql");
        let groups: Vec<String> =
            repeated(|| sqlx::query_scalar(GROUPS).bind(&rule.name).bind(after_s).fetch_all(self.pool())).await?;
        let mut resolved = 0;
        for group in &groups {
            let resolve = || async {
                let mut transaction = self.begin().await?;
                lock(&mut transaction, &rule.name, group).await?;
                let resolve = sqlx::query(RESOLVE).bind(&rule.name).bind(group).bind(after_s).bind(CHANNEL);
                let was_open = resolve.fetch_optional(&mut *transaction).await?.is_some();
                transaction.commit().await?;
                Ok(was_open)
            };
            resolved += u64::from(repeated(resolve).await?);
        }
        Ok(resolved)
    }
}

/// Writes an alert for each match, and its messages. Nothing is written twice for the same job.
pub(super) async fn fire(
    connection: &mut PgConnection,
    matches: &[RuleMatch<'_>],
    report: &Report,
) -> Result<(), sqlx::Error> {
    let recording = recording_id(&report.object).to_string();
    let group = |found: &RuleMatch<'_>| text::clean(&found.rule.group_key(Subject::from(report), &recording), 400);
    let mut fired: Vec<_> = matches.iter().map(|found| (group(found), found)).collect();
    // Every transaction takes the locks in one order, so that none waits in a circle.
    fired.sort_by(|a, b| (&a.1.rule.name, &a.0).cmp(&(&b.1.rule.name, &b.0)));
    for (group, found) in fired {
        lock(connection, &found.rule.name, &group).await?;
        if let Some(message) = fire_one(connection, report, found, &group).await? {
            enqueue(connection, &found.destinations, &message).await?;
        }
    }
    Ok(())
}

async fn lock(connection: &mut PgConnection, rule: &str, group: &str) -> Result<(), sqlx::Error> {
    const LOCK: &str = include_str!("lock_group.sql");
    sqlx::query(LOCK).bind(format!("{rule}:{group}")).execute(connection).await.map(drop)
}

/// Writes the alert's row. Returns the message to queue: none if the row exists already or the cool-down holds.
async fn fire_one(
    connection: &mut PgConnection,
    report: &Report,
    found: &RuleMatch<'_>,
    group: &str,
) -> Result<Option<AlertMessage>, sqlx::Error> {
    const FIRE: &str = include_str!("fire.sql");
    let RuleMatch { rule, finding, .. } = found;
    let main = finding.main();
    let sentences: Vec<_> = finding.evidence.iter().map(domain::alert::Evidence::in_english).collect();
    let row = sqlx::query(FIRE)
        .bind(report.job_id.0)
        .bind(&rule.name)
        .bind(group)
        .bind(rule.severity.label())
        .bind(main.map(|e| rows::channel_number(e.channel)))
        .bind(main.map(|e| i32::try_from(e.first_segment).unwrap_or(i32::MAX)))
        .bind(main.map(|e| e.start_s as f32))
        .bind(text::clean(&sentences.join("; "), 2000))
        .bind(json!(finding.evidence))
        .bind(rule.cooldown.as_secs_f64())
        .bind(rule.max_age.map(|age| age.as_secs_f64()))
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    if !row.try_get("queued")? {
        return Ok(None);
    }
    let mut call = CallField::select(&rule.include, &report.call);
    for value in call.values_mut() {
        *value = text::clean(value, 200);
    }
    Ok(Some(AlertMessage {
        id: row.try_get("id")?,
        kind: if row.try_get("again")? { MessageKind::Again } else { MessageKind::Fired },
        rule: rule.name.clone(),
        severity: rule.severity,
        at: row.try_get("fired_at")?,
        job_id: report.job_id,
        call,
        evidence: finding.evidence.clone(),
        held_back: rows::count(&row, "held_back")?,
    }))
}

/// One message for the exchange, and one for each of these destinations.
async fn enqueue(connection: &mut PgConnection, webhooks: &[&str], message: &AlertMessage) -> Result<(), sqlx::Error> {
    const INSERT: &str = "INSERT INTO outbox (alert_id, destination, kind, payload)
        SELECT $1, destination, $3, $4 FROM unnest($2::text[]) AS destination ON CONFLICT DO NOTHING";
    let destinations: Vec<&str> = std::iter::once(AMQP).chain(webhooks.iter().copied()).collect();
    let query = sqlx::query(INSERT).bind(message.id).bind(destinations).bind(message.kind.label()).bind(json!(message));
    query.execute(&mut *connection).await?;
    sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(connection).await.map(drop)
}
