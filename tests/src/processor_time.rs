//! Processor time of a process and all its children, read from `/proc`.

use anyhow::{Context, Result};
use std::time::Duration;

/// Clock ticks a second: Linux reports these whatever the machine.
const TICKS: f64 = 100.0;

/// User and system time of the process, of its children, and of those that have ended.
///
/// # Errors
/// When the process is gone.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let mut ticks = stat(pid).with_context(|| format!("process {pid} is gone"))?.ticks;
    let mut parents = vec![pid];
    let all: Vec<Stat> = std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(stat)
        .collect();
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent) {
            ticks += child.ticks;
            parents.push(child.pid);
        }
    }
    Ok(self::ticks(ticks))
}

/// This process' own time, without its children.
///
/// # Errors
/// When `/proc` is not there.
pub fn own_time() -> Result<Duration> {
    Ok(ticks(stat(std::process::id()).context("no /proc")?.own))
}

/// The time of this process' children that have ended.
///
/// # Errors
/// When `/proc` is not there.
pub fn children_time() -> Result<Duration> {
    let this = stat(std::process::id()).context("no /proc")?;
    Ok(ticks(this.ticks - this.own))
}

fn ticks(count: u64) -> Duration {
    Duration::from_secs_f64(count as f64 / TICKS)
}

struct Stat {
    pid: u32,
    parent: u32,
    /// Of the process itself.
    own: u64,
    /// With its children that have ended.
    ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field)?.parse::<u64>().ok();
    let sum = |fields: std::ops::RangeInclusive<usize>| fields.map_while(number).sum();
    Some(Stat { pid, parent: u32::try_from(number(1)?).ok()?, own: sum(11..=12), ticks: sum(11..=14) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_a_child_counts() {
        let mut shell = std::process::Command::new("sh");
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 60";
        let mut shell = shell.args(["-c", &format!("sh -c '{busy}' & wait")]).spawn().expect("a shell");
        let begun = std::time::Instant::now();
        let worked = || processor_time(shell.id()).expect("it runs") >= Duration::from_millis(20);
        while !worked() && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let worked = worked();
        let children = std::process::Command::new("pkill").args(["-P", &shell.id().to_string()]).status();
        shell.kill().expect("killed");
        shell.wait().expect("ended");
        assert!(worked && children.is_ok());
    }
}
