//! `dispatcher status`.

use adapters::postgres::Delivery;
use chrono::{DateTime, Utc};

/// Prints how each destination fares.
pub fn print_status(deliveries: &[Delivery]) {
    if deliveries.is_empty() {
        println!("no alert has owed a message yet");
        return;
    }
    println!("{:24} {:>8} {:>8} {:>9}  OLDEST WAITING", "DESTINATION", "WAITING", "TODAY", "GIVEN UP");
    for delivery in deliveries {
        let oldest = delivery.oldest_waiting.map_or("-".to_owned(), |t| format!("since {}", short(t)));
        println!(
            "{:24} {:>8} {:>8} {:>9}  {oldest}",
            delivery.destination, delivery.waiting, delivery.delivered_today, delivery.given_up
        );
        if let Some(until) = delivery.blocked_until {
            println!("{:24} pauses until {}", "", short(until));
        }
        if let Some(error) = &delivery.last_error {
            println!("{:24} {error}", "");
        }
    }
    if let Some(dead) = deliveries.iter().find(|d| d.given_up > 0) {
        println!("\n`dispatcher retry {}` tries again what was given up there", dead.destination);
    }
}

fn short(moment: DateTime<Utc>) -> String {
    moment.format("%Y-%m-%d %H:%M:%SZ").to_string()
}
