//! Progress on standard error: a bar on a terminal, elsewhere a plain line every ten seconds.
#![expect(clippy::print_stderr, reason = "progress is reported there")]

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use domain::visible::visible;

/// Pause between plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows progress.
#[derive(Debug)]
pub struct Meter(Kind);

#[derive(Debug)]
enum Kind {
    Bar(ProgressBar),
    Lines(Mutex<Option<Instant>>),
    Silent,
}

impl Meter {
    /// A bar on a terminal, lines elsewhere.
    pub fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(Kind::Lines(Mutex::default()));
        }
        let bar = ProgressBar::no_length();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Kind::Bar(bar))
    }

    /// For tests.
    pub fn silent() -> Self {
        Self(Kind::Silent)
    }

    /// Shows `done` of `total`, and a text.
    pub fn at(&self, done: u64, total: Option<u64>, text: &str) {
        match &self.0 {
            Kind::Bar(bar) => {
                let template = if total.is_some() { "{bar:30} {pos}/{len}  {msg}" } else { "{spinner} {msg}" };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
                }
                if let Some(total) = total {
                    bar.set_length(total);
                }
                bar.set_position(done);
                bar.set_message(text.to_owned());
            }
            Kind::Lines(last) => {
                let mut last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if last.is_none_or(|t| t.elapsed() >= LINE_EVERY) {
                    *last = Some(Instant::now());
                    eprintln!("{}{text}", total.map_or(String::new(), |t| format!("{done}/{t}  ")));
                }
            }
            Kind::Silent => {}
        }
    }

    /// Prints a line above the bar; what would act on a terminal is made visible.
    pub fn say(&self, line: &str) {
        let line = visible(line).into_owned();
        match &self.0 {
            Kind::Bar(bar) => bar.println(line),
            Kind::Lines(_) => eprintln!("{line}"),
            Kind::Silent => {}
        }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        if let Kind::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

/// Seconds for people: `0:31`, `12:05`, `3:07:00`.
pub fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        hours => format!("{hours}:{:02}:{:02}", s % 3600 / 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn times_read_like_clocks() {
        assert_eq!([clock(31.2), clock(725.0), clock(11_220.0), clock(-1.0)], ["0:31", "12:05", "3:07:00", "0:00"]);
    }
}
