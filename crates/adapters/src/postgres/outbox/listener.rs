//! `LISTEN`: Postgres notifies dispatchers when messages are committed.

use domain::Failure;
use sqlx::postgres::{PgListener, PgPoolOptions};

use crate::boxed;
use crate::postgres::{Database, alerts, errors};

/// Receives notifications, over a connection of its own.
#[derive(Debug)]
pub struct OutboxListener(PgListener);

impl Database {
    /// Subscribes to notifications of new messages.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn listen_to_outbox(&self) -> Result<OutboxListener, Failure> {
        let listen = async {
            // A pool of its own: `postgres.max_connections` may be 1, and this connection is never given back.
            let patience = self.pool().options().get_acquire_timeout();
            let own = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
            let own = own.acquire_timeout(patience).connect_lazy_with(self.options().clone());
            let mut listener = PgListener::connect_with(&own).await?;
            listener.listen(alerts::CHANNEL).await?;
            Ok(OutboxListener(listener))
        };
        listen.await.map_err(|e: sqlx::Error| errors::failure(&e))
    }
}

impl OutboxListener {
    /// Waits for the next notification. A connection that broke is opened again, which counts as one:
    /// some may have been missed.
    ///
    /// # Errors
    /// `database.unreachable`: the connection can't be opened again.
    #[boxed]
    pub async fn next(&mut self) -> Result<(), Failure> {
        self.0.try_recv().await.map(drop).map_err(|e| errors::failure(&e))
    }
}
