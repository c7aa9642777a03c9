//! `producer alerts`: checks an alert file, and evaluates its rules for past calls. Writes nothing.

use adapters::postgres::{Bookmark, PastCall};
use adapters::retry::RetryPolicy;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use domain::alert::{Evidence, Rule, Rulebook, Subject};
use domain::clock;
use settings::{Settings, alert_file};
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::arguments::duration;
use crate::error::{Outcome, ProducerError};
use crate::services;
use crate::table::{Side, head, lines};

/// Commands for alert rules.
#[derive(Debug, Clone, Subcommand)]
pub enum AlertsCommand {
    /// List what the rules of an alert file would have fired on. Writes and sends nothing
    Test(TestArgs),
    /// Say what is wrong with an alert file: exit code 2, for use before it is rolled out
    Check(CheckArgs),
}

/// Which alert file.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The alert file; without it, that of the setting `alerts.rules`
    pub rules: Option<PathBuf>,
}

/// The rules, and the period.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// The alert file
    pub rules: PathBuf,
    /// Length of the period until now, such as 12h or 7d
    #[arg(long, default_value = "7d", value_parser = duration)]
    pub since: Duration,
    /// Only this rule
    #[arg(long)]
    pub rule: Option<String>,
    /// Most alerts to list; all are counted
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// How often a rule fired, and would have sent a message.
#[derive(Default)]
struct RuleStats {
    fired: u64,
    messages: u64,
    /// Time of the last message, by group.
    last_message: HashMap<String, DateTime<Utc>>,
}

/// Runs the command.
///
/// # Errors
/// An invalid alert file, each error with its line; services.
pub async fn run(
    settings: &Settings,
    command: &AlertsCommand,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let args = match command {
        AlertsCommand::Test(args) => args,
        AlertsCommand::Check(args) => return check(settings, args, out),
    };
    let mut rulebook = alert_file::read(&args.rules).map_err(|e| ProducerError::input(e.to_string()))?;
    if let Some(name) = &args.rule {
        rulebook.rules.retain(|rule| rule.name == *name);
        if rulebook.rules.is_empty() {
            return Err(ProducerError::input(format!("{} has no rule `{name}`", args.rules.display())));
        }
    }
    let database = services::database(settings, policy).await?;
    let now = Utc::now();
    let since = TimeDelta::from_std(args.since).ok().and_then(|ago| now.checked_sub_signed(ago));
    let since = since.ok_or_else(|| ProducerError::input("--since reaches back too far"))?;
    let mut test = Test { rulebook, stats: HashMap::new(), calls: 0, rows: Vec::new(), limit: args.limit };
    let mut place = Bookmark::between(since, now);
    loop {
        let (calls, next) = database.past_calls(place).await?;
        if next == place {
            break;
        }
        for call in &calls {
            test.evaluate(call);
        }
        place = next;
    }
    let _ = test.lines(since).iter().try_for_each(|line| writeln!(out, "{line}"));
    Ok(Outcome::Done)
}

/// Strict, as no program is that runs: one error and the file is refused.
fn check(settings: &Settings, args: &CheckArgs, out: &mut impl Write) -> Result<Outcome, ProducerError> {
    let read = args.rules.as_ref().map_or_else(|| settings.alerts.rulebook(), |path| alert_file::read(path));
    let Rulebook { rules, destinations } = read.map_err(|e| ProducerError::input(e.to_string()))?;
    let _ = writeln!(out, "{} rules and {} destinations, without an error", rules.len(), destinations.len());
    Ok(Outcome::Done)
}

struct Test {
    rulebook: Rulebook,
    stats: HashMap<String, RuleStats>,
    calls: u64,
    rows: Vec<[String; 5]>,
    limit: usize,
}

impl Test {
    fn evaluate(&mut self, past: &PastCall) {
        self.calls += 1;
        let subject = Subject { call: &past.call, channels: &past.channels };
        for (rule, finding) in self.rulebook.evaluate(subject) {
            let stats = self.stats.entry(rule.name.clone()).or_default();
            let group = rule.group_key(subject, &past.recording.to_string());
            let sent = stats.count(rule, group, past.called_at);
            if self.rows.len() < self.limit {
                let why: Vec<_> = finding.evidence.iter().map(Evidence::in_english).collect();
                self.rows.push([
                    past.called_at.format("%Y-%m-%d %H:%M").to_string(),
                    rule.name.clone(),
                    head(&past.call.call_id.clone().unwrap_or_else(|| past.job_id.to_string()), 40),
                    finding.main().map_or("-".into(), |main| clock::to_seconds(main.start_s)),
                    format!("{}{}", head(&why.join("; "), 100), if sent { "" } else { " (within the cooldown)" }),
                ]);
            }
        }
    }

    fn lines(&self, since: DateTime<Utc>) -> Vec<String> {
        let fired: u64 = self.stats.values().map(|stats| stats.fired).sum();
        let header = [
            ("began", Side::Left),
            ("rule", Side::Left),
            ("call", Side::Left),
            ("at", Side::Right),
            ("why", Side::Left),
        ];
        let mut text = Vec::new();
        if !self.rows.is_empty() {
            text.extend(lines(header, &self.rows));
            let more = fired - self.rows.len() as u64;
            if more > 0 {
                text.push(format!("… and {more} more (--limit shows more)"));
            }
            text.push(String::new());
        }
        text.push(format!("{} calls since {}", self.calls, since.format("%Y-%m-%d %H:%M UTC")));
        let counts = self.rulebook.rules.iter().map(|rule| {
            let none = RuleStats::default();
            let stats = self.stats.get(&rule.name).unwrap_or(&none);
            [rule.name.clone(), rule.severity.label().into(), stats.fired.to_string(), stats.messages.to_string()]
        });
        let header =
            [("rule", Side::Left), ("severity", Side::Left), ("alerts", Side::Right), ("messages", Side::Right)];
        text.extend(lines(header, &counts.collect::<Vec<_>>()));
        text
    }
}

impl RuleStats {
    /// Counts an alert. Returns whether a message would have been sent, if the call had been analysed when it began.
    fn count(&mut self, rule: &Rule, group: String, at: DateTime<Utc>) -> bool {
        self.fired += 1;
        let cooldown = TimeDelta::from_std(rule.cooldown).unwrap_or(TimeDelta::MAX);
        let sent = self.last_message.get(&group).is_none_or(|last| at - *last >= cooldown);
        if sent {
            self.messages += 1;
            self.last_message.insert(group, at);
        }
        sent
    }
}
