//! Rules that fired, in the transaction that records what was heard: an alert is written exactly
//! when its scores are, and the messages it owes with it.

use domain::alert::{AMQP, Finding, Kind, Notice, Rule, Rulebook, Subject, TellOf};
use domain::{Failure, Report};
use serde_json::json;
use sqlx::{PgConnection, Row};
use std::sync::Arc;

use super::{Database, errors, text};

/// The channel on which dispatchers hear of new messages.
pub(super) const CHANNEL: &str = "emofleet_outbox";

/// Channel number in the database for the mix of all.
const MIX: i16 = -1;

impl Database {
    /// The same database; what is recorded through it fires these rules.
    #[must_use]
    pub fn alerting(mut self, rulebook: Arc<Rulebook>) -> Self {
        self.rulebook = rulebook;
        self
    }

    /// Closes what has been quiet for the rules' `resolve_after`, and owes messages of it to those
    /// who were told. Returns how many matters were closed. Safe beside itself.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn resolve_quiet(&self, rulebook: &Rulebook) -> Result<u64, Failure> {
        let mut closed = 0;
        for rule in &rulebook.rules {
            let Some(after) = rule.resolve_after else { continue };
            closed += self.resolve_rule(rule, after.as_secs_f64()).await.map_err(|e| errors::failure(&e))?;
        }
        Ok(closed)
    }

    async fn resolve_rule(&self, rule: &Rule, after_s: f64) -> Result<u64, sqlx::Error> {
        // Few at a time: what is left over is found by the next look.
        const QUIET: &str = "SELECT group_key FROM alerts WHERE rule = $1 AND resolved_at IS NULL
            GROUP BY group_key HAVING max(fired_at) < clock_timestamp() - make_interval(secs => $2) LIMIT 500";
        const RESOLVE: &str = include_str!("queries/alerts/resolve.sql");
        let groups: Vec<String> =
            sqlx::query_scalar(QUIET).bind(&rule.name).bind(after_s).fetch_all(self.pool()).await?;
        let mut closed = 0;
        for group in groups {
            let mut transaction = self.pool().begin().await?;
            lock(&mut transaction, &rule.name, &group).await?;
            let resolve = sqlx::query(RESOLVE).bind(&rule.name).bind(&group).bind(after_s).bind(CHANNEL);
            closed += u64::from(resolve.fetch_optional(&mut *transaction).await?.is_some());
            transaction.commit().await?;
        }
        Ok(closed)
    }
}

/// Writes the alerts of a report and what they owe. Nothing is written twice for the same job.
pub(super) async fn fire(
    connection: &mut PgConnection,
    rulebook: &Rulebook,
    report: &Report,
    recording: uuid::Uuid,
) -> Result<(), sqlx::Error> {
    let subject = Subject::from(report);
    let recording = recording.to_string();
    let found = rulebook.evaluate(subject).into_iter();
    let mut fired: Vec<_> = found.map(|(rule, found)| (rule.group_key(subject, &recording), rule, found)).collect();
    // Locks are taken in one order by everybody, so that nobody waits in a circle.
    fired.sort_by(|a, b| (&a.1.name, &a.0).cmp(&(&b.1.name, &b.0)));
    for (group, rule, finding) in &fired {
        let group = text::clean(group, 400);
        lock(connection, &rule.name, &group).await?;
        if let Some(notice) = fire_one(connection, report, rule, &group, finding).await? {
            owe(connection, rulebook, rule, &notice).await?;
        }
    }
    Ok(())
}

async fn lock(connection: &mut PgConnection, rule: &str, group: &str) -> Result<(), sqlx::Error> {
    const LOCK: &str = include_str!("queries/alerts/lock_group.sql");
    sqlx::query(LOCK).bind(format!("{rule}:{group}")).execute(connection).await.map(drop)
}

/// The alert's row; what to tell, unless it was there already or the cool-down holds.
async fn fire_one(
    connection: &mut PgConnection,
    report: &Report,
    rule: &Rule,
    group: &str,
    finding: &Finding,
) -> Result<Option<Notice>, sqlx::Error> {
    const FIRE: &str = include_str!("queries/alerts/fire.sql");
    let main = finding.main();
    let sentences: Vec<_> = finding.evidence.iter().map(domain::alert::Evidence::in_english).collect();
    let row = sqlx::query(FIRE)
        .bind(report.job_id.0)
        .bind(&rule.name)
        .bind(group)
        .bind(rule.severity.label())
        .bind(main.map(|e| e.channel.map_or(MIX, |c| i16::try_from(c).unwrap_or(i16::MAX))))
        .bind(main.map(|e| i32::try_from(e.first_segment).unwrap_or(i32::MAX)))
        .bind(main.map(|e| e.start_s as f32))
        .bind(text::clean(&sentences.join("; "), 2000))
        .bind(json!(finding.evidence))
        .bind(rule.cooldown.as_secs_f64())
        .bind(rule.max_age.map(|age| age.as_secs_f64()))
        .fetch_optional(connection)
        .await?;
    let Some(row) = row.filter(|row| row.get("tell")) else { return Ok(None) };
    let mut call = TellOf::pick(&rule.tell, &report.call);
    for value in call.values_mut() {
        *value = text::clean(value, 200);
    }
    Ok(Some(Notice {
        id: row.get("id"),
        kind: if row.get("again") { Kind::Again } else { Kind::Fired },
        rule: rule.name.clone(),
        severity: rule.severity,
        at: row.get("fired_at"),
        job_id: report.job_id,
        call,
        evidence: finding.evidence.clone(),
        held_back: u64::try_from(row.get::<i64, _>("held_back")).unwrap_or_default(),
    }))
}

/// One message for each destination that takes the rule, and one for the exchange.
async fn owe(
    connection: &mut PgConnection,
    rulebook: &Rulebook,
    rule: &Rule,
    notice: &Notice,
) -> Result<(), sqlx::Error> {
    const OWE: &str = "INSERT INTO outbox (alert_id, destination, kind, payload)
        SELECT $1, destination, $3, $4 FROM unnest($2::text[]) AS destination ON CONFLICT DO NOTHING";
    let takers = rulebook.destinations.iter().filter(|d| d.takes(rule)).map(|d| d.name.as_str());
    let destinations: Vec<&str> = std::iter::once(AMQP).chain(takers).collect();
    let query = sqlx::query(OWE).bind(notice.id).bind(destinations).bind(notice.kind.label()).bind(json!(notice));
    query.execute(&mut *connection).await?;
    sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(connection).await.map(drop)
}
