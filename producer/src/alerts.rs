//! `producer alerts test`: what rules would have fired on over the history. Nothing is written.

use adapters::postgres::{Bookmark, PastCall};
use adapters::retry::RetryPolicy;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use domain::alert::{Evidence, Rule, Rulebook, Subject, clock};
use settings::{Settings, alert_file};
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::arguments::duration;
use crate::error::{Outcome, ProducerError};
use crate::services;
use crate::table::{Side, head, lines};

/// What to do with rules.
#[derive(Debug, Clone, Subcommand)]
pub enum AlertsCommand {
    /// Say what a file of rules would have fired on. Nothing is written, nobody is told.
    Test(TestArgs),
}

/// Which rules, and over which time.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// The file of rules.
    pub rules: PathBuf,
    /// Calls that began so long ago, or later: like 12h or 7d.
    #[arg(long, default_value = "7d", value_parser = duration)]
    pub since: Duration,
    /// Only this rule.
    #[arg(long)]
    pub rule: Option<String>,
    /// Most rows to show; all are counted.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// How often a rule fired.
#[derive(Default)]
struct Tally {
    fired: u64,
    messages: u64,
    /// When somebody would have been told last, by group.
    told: HashMap<String, DateTime<Utc>>,
}

/// Does what the command says.
///
/// # Errors
/// Wrong rules, each fault with its line; services.
pub async fn run(
    settings: &Settings,
    command: &AlertsCommand,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let AlertsCommand::Test(args) = command;
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
    let mut test = Test { rulebook, tallies: HashMap::new(), calls: 0, rows: Vec::new(), limit: args.limit };
    let mut place = Bookmark::between(since, now);
    loop {
        let (calls, next) = database.past_calls(place).await?;
        if calls.is_empty() {
            break;
        }
        for call in &calls {
            test.look_at(call);
        }
        place = next;
    }
    let _ = test.lines(since).iter().try_for_each(|line| writeln!(out, "{line}"));
    Ok(Outcome::Done)
}

struct Test {
    rulebook: Rulebook,
    tallies: HashMap<String, Tally>,
    calls: u64,
    rows: Vec<[String; 5]>,
    limit: usize,
}

impl Test {
    fn look_at(&mut self, past: &PastCall) {
        self.calls += 1;
        let subject = Subject { call: &past.call, channels: &past.channels };
        for (rule, finding) in self.rulebook.evaluate(subject) {
            let tally = self.tallies.entry(rule.name.clone()).or_default();
            let group = rule.group_key(subject, &past.recording.to_string());
            let told = tally.tells(rule, group, past.called_at);
            if self.rows.len() < self.limit {
                let why: Vec<_> = finding.evidence.iter().map(Evidence::in_english).collect();
                self.rows.push([
                    past.called_at.format("%Y-%m-%d %H:%M").to_string(),
                    rule.name.clone(),
                    head(&past.call.call_id.clone().unwrap_or_else(|| past.job_id.to_string()), 40),
                    finding.main().map_or("-".into(), |main| clock(main.start_s)),
                    format!("{}{}", head(&why.join("; "), 100), if told { "" } else { " (within the cool-down)" }),
                ]);
            }
        }
    }

    fn lines(&self, since: DateTime<Utc>) -> Vec<String> {
        let fired: u64 = self.tallies.values().map(|tally| tally.fired).sum();
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
            let none = Tally::default();
            let tally = self.tallies.get(&rule.name).unwrap_or(&none);
            [rule.name.clone(), rule.severity.label().into(), tally.fired.to_string(), tally.messages.to_string()]
        });
        let header =
            [("rule", Side::Left), ("severity", Side::Left), ("alerts", Side::Right), ("messages", Side::Right)];
        text.extend(lines(header, &counts.collect::<Vec<_>>()));
        text
    }
}

impl Tally {
    /// Counts an alert; whether somebody would have been told, had the call been heard as it began.
    fn tells(&mut self, rule: &Rule, group: String, at: DateTime<Utc>) -> bool {
        self.fired += 1;
        let cooldown = TimeDelta::from_std(rule.cooldown).unwrap_or(TimeDelta::MAX);
        let tells = self.told.get(&group).is_none_or(|told| at - *told >= cooldown);
        if tells {
            self.messages += 1;
            self.told.insert(group, at);
        }
        tells
    }
}
