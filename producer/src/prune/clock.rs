//! Whether the clock may be believed: what is old follows from it, and what is deleted does not come back.
#![expect(clippy::print_stderr, reason = "a question on the terminal")]

use adapters::postgres::{Boot, LastPrune};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use std::io::{BufRead, IsTerminal};

use crate::error::ProducerError;

/// A jump from which on nothing is deleted without a question.
const JUMP: TimeDelta = TimeDelta::days(1);
/// Longest time between two prunings that is believed where only clocks tell it: monthly, and some days.
const LONGEST: TimeDelta = TimeDelta::days(35);

/// This machine since its start; without an identity where it tells none.
pub(super) fn boot() -> Boot {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let up_s = read("/proc/uptime").split(' ').next().and_then(|seconds| seconds.parse().ok());
    up_s.map_or_else(Boot::default, |up_s| Boot { id: read("/proc/sys/kernel/random/boot_id").trim().to_owned(), up_s })
}

/// Why the time `now` is in doubt, as a sentence; `database`: by the clock of Postgres.
pub(super) fn doubt(
    now: DateTime<Utc>,
    database: DateTime<Utc>,
    boot: &Boot,
    last: Option<&LastPrune>,
) -> Option<String> {
    let day = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M UTC").to_string();
    if (now - database).abs() > JUMP {
        return Some(format!("it is {} by the clock here, and {} by that of Postgres", day(now), day(database)));
    }
    let last = last?;
    let passed = now - last.at;
    if passed < -JUMP {
        return Some(format!("it is {}, and the latest pruning was at {}", day(now), day(last.at)));
    }
    if !boot.id.is_empty() && boot.id == last.boot.id {
        let running = TimeDelta::seconds((boot.up_s - last.boot.up_s) as i64);
        return ((passed - running).abs() > JUMP).then(|| {
            format!(
                "by the clock, {} days passed since the latest pruning; by the time that this machine has been running, {}",
                passed.num_days(),
                running.num_days(),
            )
        });
    }
    (passed > LONGEST).then(|| {
        let days = passed.num_days();
        format!("by the clock, {days} days passed since the latest pruning, and nothing else tells whether they did")
    })
}

/// Goes on after a doubt if `today`, or the person at the terminal, says that the day is right.
///
/// # Errors
/// [`ProducerError::Input`]: nothing was deleted.
pub(super) fn confirm(
    now: DateTime<Utc>,
    doubt: Option<String>,
    today: Option<NaiveDate>,
) -> Result<(), ProducerError> {
    if let Some(today) = today.filter(|today| *today != now.date_naive()) {
        let date = now.date_naive();
        return Err(ProducerError::input(format!("--today {today}: it is {date} here (UTC); nothing was deleted")));
    }
    let Some(doubt) = doubt.filter(|_| today.is_none()) else { return Ok(()) };
    let date = now.date_naive();
    if std::io::stdin().is_terminal() {
        eprint!("{doubt}. Is it {date} today (UTC)? [y/N] ");
        let mut answer = String::new();
        let _ = std::io::stdin().lock().read_line(&mut answer);
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
    }
    Err(ProducerError::input(format!(
        "is the clock right? {doubt}; nothing was deleted. Correct the clock, or confirm the day with --today {date}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: f64 = 86_400.0;

    fn on(boot: &str, up_days: f64) -> Boot {
        Boot { id: boot.to_owned(), up_s: up_days * DAY_S }
    }

    #[test]
    fn a_jump_is_doubted_and_time_that_passed_is_not() {
        let then = Utc::now();
        let last = LastPrune { at: then, boot: on("a", 10.0) };
        let after = |days: i64, boot: Boot| {
            let now = then + TimeDelta::days(days);
            doubt(now, now, &boot, Some(&last))
        };
        assert_eq!(after(1, on("a", 11.0)), None);
        assert_eq!(after(100, on("a", 110.0)), None, "they passed");
        assert!(after(100, on("a", 11.0)).is_some_and(|why| why.contains("100 days") && why.contains("running, 1")));
        assert!(after(1, on("a", 40.0)).is_some(), "it was set back meanwhile");
        assert!(after(-3, on("a", 11.0)).is_some());
        assert_eq!(after(7, on("b", 0.1)), None, "another machine, once a week");
        assert!(after(400, on("b", 0.1)).is_some());
        assert!(after(400, on("", 0.0)).is_some());
        let now = then + TimeDelta::days(400);
        assert!(doubt(now, then, &on("a", 11.0), None).is_some_and(|why| why.contains("Postgres")));
        assert_eq!(doubt(then, then, &on("a", 11.0), None), None, "the first one");
    }

    #[test]
    fn a_doubt_is_answered_by_the_day() {
        let now = Utc::now();
        let why = || Some("it is odd".to_owned());
        assert!(confirm(now, None, None).is_ok());
        assert!(confirm(now, why(), Some(now.date_naive())).is_ok());
        let wrong = confirm(now, None, now.date_naive().pred_opt()).expect_err("another day").to_string();
        assert!(wrong.contains("--today"), "{wrong}");
    }
}
