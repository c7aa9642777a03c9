//! Word from the database that messages wait, at the moment they are committed.

use domain::Failure;
use sqlx::postgres::PgListener;

use super::{Database, alerts, errors};

/// Listens over a connection of its own.
#[derive(Debug)]
pub struct News(PgListener);

impl Database {
    /// Begins to listen for new messages in the outbox.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn outbox_news(&self) -> Result<News, Failure> {
        let listen = async {
            let mut listener = PgListener::connect_with(self.pool()).await?;
            listener.listen(alerts::CHANNEL).await?;
            Ok(News(listener))
        };
        listen.await.map_err(|e: sqlx::Error| errors::failure(&e))
    }
}

impl News {
    /// Waits for news. A connection that broke is opened again, which counts as news: something may
    /// have been missed meanwhile.
    ///
    /// # Errors
    /// `database.unreachable`: it can't be opened again; wait, then ask again.
    pub async fn next(&mut self) -> Result<(), Failure> {
        self.0.try_recv().await.map(drop).map_err(|e| errors::failure(&e))
    }
}
