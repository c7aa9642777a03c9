//! `dispatcher status`.

use adapters::postgres::DestinationStatus;
use chrono::{DateTime, Utc};

/// Prints the state of each destination.
pub fn print_status(destinations: &[DestinationStatus]) {
    if destinations.is_empty() {
        println!("there were no messages yet");
        return;
    }
    println!("{:24} {:>8} {:>8} {:>9}  OLDEST WAITING", "DESTINATION", "WAITING", "TODAY", "GIVEN UP");
    for status in destinations {
        let oldest = status.oldest_waiting.map_or("-".to_owned(), |t| format!("since {}", short(t)));
        println!(
            "{:24} {:>8} {:>8} {:>9}  {oldest}",
            status.destination, status.waiting, status.delivered_today, status.given_up
        );
        if let Some(until) = status.blocked_until {
            println!("{:24} paused until {}", "", short(until));
        }
        if let Some(error) = &status.last_error {
            println!("{:24} {error}", "");
        }
    }
    if let Some(status) = destinations.iter().find(|d| d.given_up > 0) {
        println!("\n`dispatcher retry {}` retries the messages that were given up there", status.destination);
    }
}

fn short(moment: DateTime<Utc>) -> String {
    moment.format("%Y-%m-%d %H:%M:%SZ").to_string()
}
