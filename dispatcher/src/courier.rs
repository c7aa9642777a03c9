//! One destination's courier: claims, sends, settles, rests. No other destination waits for it.

use adapters::amqp::Publisher;
use adapters::postgres::{Budget, Claim, Database, Order, Settlement, Turn};
use adapters::webhook::{MOST, Outcome, Webhook};
use domain::Failure;
use domain::alert::{AMQP, Notice};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::metrics::Metrics;
use super::pause;

/// Time beyond a request's own limit until its claim expires.
const MARGIN: Duration = Duration::from_secs(30);
/// Longest that one claim for the exchange is worked on.
const PUBLISHING: Duration = Duration::from_mins(1);
/// Messages claimed at once for the exchange, which has no limit.
const PUBLISHED_AT_ONCE: u32 = 100;
/// With `once`, a limit per second is waited for.
const WORTH_WAITING: Duration = Duration::from_millis(1500);
/// Pause after the database did not answer.
const DATABASE_AWAY: Duration = Duration::from_secs(3);

/// By which way messages go.
pub(super) enum Way {
    Exchange(Publisher),
    Webhook(Box<Webhook>),
}

/// Brings the messages of one destination.
pub(super) struct Courier {
    pub(super) database: Database,
    pub(super) way: Way,
    pub(super) owner: String,
    pub(super) settings: settings::Dispatcher,
    pub(super) metrics: Arc<Metrics>,
}

impl Courier {
    pub(super) fn name(&self) -> &str {
        match &self.way {
            Way::Exchange(_) => AMQP,
            Way::Webhook(webhook) => &webhook.destination().name,
        }
    }

    /// Brings messages until told to stop; a request in hand is finished and settled first.
    pub(super) async fn run(self, mut news: watch::Receiver<()>, stop: CancellationToken) {
        let poll = Duration::from_secs(self.settings.poll_s);
        while !stop.is_cancelled() {
            // Before the claim, so that what comes during it is looked for afterwards.
            news.borrow_and_update();
            let rest = match self.turn().await {
                Ok(None) => continue,
                Ok(Some(wake)) => wake.map_or(poll, |wake| wake.min(poll)),
                Err(failure) => {
                    tracing::warn!(destination = self.name(), %failure, "the outbox can't be read");
                    DATABASE_AWAY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                changed = news.changed() => if changed.is_err() { tokio::time::sleep(rest).await },
                () = stop.cancelled() => {}
            }
        }
    }

    /// Brings what may be brought now.
    pub(super) async fn once(&self) -> Result<(), Failure> {
        loop {
            match self.turn().await? {
                None => {}
                Some(Some(wake)) if wake <= WORTH_WAITING => tokio::time::sleep(wake).await,
                Some(_) => return Ok(()),
            }
        }
    }

    /// One claim. `None`: something was in hand, ask again; else when that may be the case.
    async fn turn(&self) -> Result<Option<Option<Duration>>, Failure> {
        let order = self.order();
        let mut claim = match self.database.claim_messages(&order).await? {
            Turn::Idle { wake } => return Ok(Some(wake)),
            Turn::Send(claim) => claim,
        };
        let begun = Instant::now();
        let settlement = match &self.way {
            Way::Exchange(publisher) => self.publish(publisher, &mut claim).await,
            Way::Webhook(webhook) => self.post(webhook, &mut claim).await,
        };
        self.tell(&claim, &settlement);
        self.settle(&claim, &settlement, begun + order.lease).await;
        Ok(None)
    }

    fn order(&self) -> Order<'_> {
        let (budget, most, limit) = match &self.way {
            Way::Exchange(_) => (None, PUBLISHED_AT_ONCE, PUBLISHING),
            Way::Webhook(webhook) => {
                let destination = webhook.destination();
                let budget = Budget { per_minute: destination.per_minute, per_second: destination.per_second };
                (Some(budget), MOST, Duration::from_secs(self.settings.timeout_s))
            }
        };
        Order { destination: self.name(), budget, most, lease: limit + MARGIN, owner: &self.owner }
    }

    async fn post(&self, webhook: &Webhook, claim: &mut Claim) -> Settlement {
        let notices: Vec<&Notice> = claim.letters.iter().map(|letter| &letter.notice).collect();
        let message = webhook.message(&notices);
        if let Err(failure) = self.database.give_back(claim, message.tells).await {
            tracing::warn!(destination = self.name(), %failure, "what did not fit waits until the claim expires");
        }
        let outcome = webhook.send(&message, message_id(claim)).await;
        self.settlement(claim, outcome)
    }

    fn settlement(&self, claim: &Claim, outcome: Outcome) -> Settlement {
        let longest = Duration::from_secs(self.settings.retry_max_s);
        match outcome {
            Outcome::Delivered => Settlement::Delivered,
            Outcome::Busy { pause, why } => Settlement::Busy { pause, why },
            Outcome::Failed { pause: asked, why } => {
                let pause = pause::after(claim.failures, longest).max(asked.unwrap_or_default());
                Settlement::Failed { pause, why }
            }
            Outcome::Refused { why } => {
                let tried = claim.letters.iter().map(|letter| letter.attempts).max().unwrap_or(1);
                // Out of a digest, each may be well by itself: at once.
                let alone = claim.letters.len() == 1;
                let pause = if alone { pause::after(tried.saturating_sub(1), longest) } else { Duration::ZERO };
                Settlement::Refused { pause, why }
            }
        }
    }

    /// Publishes one after the other; what comes after a failure is given back.
    async fn publish(&self, publisher: &Publisher, claim: &mut Claim) -> Settlement {
        let begun = Instant::now();
        let mut confirmed = 0;
        let mut failed = None;
        for letter in &claim.letters {
            let notice = &letter.notice;
            let key = format!("{}.{}", notice.severity.label(), notice.rule);
            let body = serde_json::to_vec(notice).expect("a notice has only string keys and finite numbers");
            let left = PUBLISHING.saturating_sub(begun.elapsed());
            match tokio::time::timeout(left, publisher.publish_alert(&key, &body)).await {
                Ok(Ok(())) => confirmed += 1,
                Ok(Err(failure)) => failed = Some(failure.to_string()),
                Err(_) => failed = Some("RabbitMQ did not confirm in time".to_owned()),
            }
            if failed.is_some() {
                break;
            }
        }
        match failed {
            Some(why) if confirmed == 0 => {
                let pause = pause::after(claim.failures, Duration::from_secs(30));
                Settlement::Failed { pause, why }
            }
            _ => {
                if let Err(failure) = self.database.give_back(claim, confirmed).await {
                    tracing::warn!(%failure, "what was not published waits until the claim expires");
                }
                Settlement::Delivered
            }
        }
    }

    fn tell(&self, claim: &Claim, settlement: &Settlement) {
        let (destination, messages) = (self.name(), claim.letters.len());
        self.metrics.ended(destination, messages, settlement);
        match settlement {
            Settlement::Delivered => tracing::info!(destination, messages, "delivered"),
            Settlement::Busy { pause, why } => tracing::warn!(destination, messages, ?pause, why, "asked to wait"),
            Settlement::Failed { pause, why } => tracing::warn!(destination, messages, ?pause, why, "not delivered"),
            Settlement::Refused { pause, why } => tracing::warn!(destination, messages, ?pause, why, "refused"),
        }
    }

    /// Writes down how it ended; for as long as the claim holds, since a message that arrived and
    /// is not known to have would be sent again.
    async fn settle(&self, claim: &Claim, settlement: &Settlement, until: Instant) {
        let most = match &self.way {
            // The exchange is ours: alerts wait for the broker as long as it takes.
            Way::Exchange(_) => u32::MAX,
            Way::Webhook(_) => self.settings.max_attempts,
        };
        loop {
            match self.database.settle(claim, settlement, most).await {
                Ok(0) => return,
                Ok(given_up) => {
                    let destination = self.name();
                    self.metrics.given_up(destination, given_up);
                    tracing::error!(destination, given_up, "given up: see `dispatcher status`");
                    return;
                }
                Err(failure) => tracing::warn!(destination = self.name(), %failure, "the outcome is not on record yet"),
            }
            if Instant::now() + DATABASE_AWAY >= until {
                return;
            }
            tokio::time::sleep(DATABASE_AWAY).await;
        }
    }
}

/// The same for the same alerts, however often they are sent.
fn message_id(claim: &Claim) -> Uuid {
    const NAMESPACE: Uuid = Uuid::from_u128(0x2f7d_91c4_0b3a_4e0e_8a55_61f2_9c7b_d310);
    let ids: Vec<String> = claim.letters.iter().map(|letter| letter.id.to_string()).collect();
    Uuid::new_v5(&NAMESPACE, ids.join(",").as_bytes())
}
