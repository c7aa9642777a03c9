//! Resident memory of a process, read from `/proc`.

/// Now, MiB; `None` when the process is gone.
pub fn resident_mib(pid: u32) -> Option<f64> {
    status(pid, "VmRSS:")
}

/// The most so far, MiB; `None` when the process is gone.
pub fn peak_mib(pid: u32) -> Option<f64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}
