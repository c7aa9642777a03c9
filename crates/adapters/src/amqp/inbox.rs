//! Messages of other programs, out of a queue that is theirs: a store's notifications.

use domain::Failure;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Acker, BasicProperties, Connection, Consumer, ErrorKind};

use super::Settings;
use super::link;
use super::message::Message;
use super::publisher::Publisher;
use super::topology::{MAX_NAME_BYTES, plain_queue, short};
use crate::boxed;

/// A consumer of one queue. What is not acknowledged goes back to the queue when it is dropped.
#[derive(Debug)]
pub struct Inbox {
    connection: Connection,
    consumer: Consumer,
    publisher: Publisher,
    aside: String,
    /// The queue did not exist and was created: it may not be bound to anything.
    pub created: bool,
}

/// A message in flight.
#[derive(Debug)]
pub struct Letter {
    /// As it came.
    pub body: Vec<u8>,
    properties: BasicProperties,
    acker: Acker,
}

impl Inbox {
    /// Consumes a queue, with at most `prefetch` messages unacknowledged. A queue that does not exist is created.
    ///
    /// # Errors
    /// `broker.unreachable`, `broker.refused`; `config.invalid` for a name that is too long.
    #[boxed]
    pub async fn open(settings: &Settings, queue: &str, prefetch: u16, publisher: Publisher) -> Result<Self, Failure> {
        let aside = aside(queue);
        if aside.len() > MAX_NAME_BYTES {
            return Err(Failure::new(
                domain::FailureCode::ConfigInvalid,
                format!("the queue's name is too long: {queue}"),
            ));
        }
        let connection = link::open(settings, "emofleet watcher").await?;
        let open = || async { connection.create_channel().await.map_err(|e| link::failure("opening a channel", &e)) };
        let mut channel = open().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let mut created = false;
        // Whatever its properties: it belongs to the store's side.
        match channel.queue_declare(short(queue), passive, FieldTable::default()).await {
            Ok(_) => {}
            Err(e) if is_not_found(&e) => {
                channel = open().await?;
                plain_queue(&channel, queue).await?;
                created = true;
            }
            Err(e) => return Err(link::failure(&format!("looking for the queue {queue}"), &e)),
        }
        plain_queue(&channel, &aside).await?;
        channel
            .basic_qos(prefetch, BasicQosOptions::default())
            .await
            .map_err(|e| link::failure("setting the prefetch", &e))?;
        let consumer = channel
            .basic_consume(short(queue), "".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .map_err(|e| link::failure(&format!("consuming {queue}"), &e))?;
        Ok(Self { connection, consumer, publisher, aside, created })
    }

    /// Waits for the next message. Loses none when it is cancelled.
    ///
    /// # Errors
    /// `broker.unreachable`: the connection broke; what is in flight is delivered again.
    #[boxed]
    pub async fn next(&mut self) -> Result<Letter, Failure> {
        let delivery = self.consumer.next().await;
        Self::letter(delivery)
    }

    /// A message that is there already.
    ///
    /// # Errors
    /// As [`Inbox::next`].
    pub fn ready(&mut self) -> Option<Result<Letter, Failure>> {
        self.consumer.next().now_or_never().map(Self::letter)
    }

    fn letter(delivery: Option<Result<Delivery, lapin::Error>>) -> Result<Letter, Failure> {
        match delivery {
            Some(Ok(Delivery { data, properties, acker, .. })) => Ok(Letter { body: data, properties, acker }),
            Some(Err(e)) => Err(link::failure("consuming", &e)),
            None => Err(link::unreachable("RabbitMQ cancelled the consumer: was the queue deleted?")),
        }
    }

    /// Puts a copy into `<queue>.unreadable` with the reason, confirmed, and takes the message out of its queue.
    ///
    /// # Errors
    /// `broker.unreachable`, `broker.refused`: it stays in its queue.
    #[boxed]
    pub async fn set_aside(&self, letter: Letter, reason: &str) -> Result<(), Failure> {
        let copy = Message::set_aside(&letter.body, &letter.properties, &self.aside, reason);
        self.publisher.publish(vec![copy]).await.remove(0)?;
        letter.done().await
    }

    /// Where unreadable messages go.
    pub fn aside(&self) -> &str {
        &self.aside
    }

    /// Closes the connection.
    #[boxed]
    pub async fn close(self) {
        link::close(&self.connection, "done").await;
    }
}

impl Letter {
    /// Takes the message out of its queue.
    ///
    /// # Errors
    /// `broker.unreachable`: the connection broke, and the message is delivered again.
    #[boxed]
    pub async fn done(self) -> Result<(), Failure> {
        match self.acker.ack(BasicAckOptions::default()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(link::unreachable("the connection broke before a message was acknowledged")),
            Err(e) => Err(link::failure("acknowledging a message", &e)),
        }
    }
}

fn aside(queue: &str) -> String {
    format!("{queue}.unreadable")
}

fn is_not_found(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(answer) => matches!(answer.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)),
        _ => false,
    }
}
