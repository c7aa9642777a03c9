//! A watcher that follows the store's notifications, on real services. The messages are those of MinIO and Ceph.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::postgres::Database;
use adapters::s3::Store;
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use producer::watch::WatchArgs;
use secrecy::ExposeSecret;
use serde_json::json;
use std::time::{Duration, Instant};
use tests::proxy::{Mode, Proxy};
use tests::trial::Trial;
use tests::watching::{Watching, source};

/// A queue of notifications beside a trial.
struct Notified {
    trial: Trial,
    database: Database,
    store: Store,
    connection: Connection,
    channel: Channel,
    queue: String,
}

impl Notified {
    async fn new() -> Self {
        let mut trial = Trial::new().unwrap();
        let database = trial.database().await.unwrap();
        let store = Store::new(&trial.settings.s3).unwrap();
        store.ensure_bucket(&trial.settings.s3.bucket).await.unwrap();
        let url = trial.settings.amqp.url.expose_secret();
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let queue = format!("{}.notifications", trial.settings.amqp.prefix);
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), durable, FieldTable::default()).await.unwrap();
        Self { trial, database, store, connection, channel, queue }
    }

    fn args(&self) -> WatchArgs {
        let interval = Some(Duration::from_secs(1));
        WatchArgs { once: false, events: Some(self.queue.clone()), interval, ..source(&self.trial) }
    }

    async fn put(&self, name: &str, content: &str) {
        let key = format!("{}{name}", self.trial.keys);
        let bucket = &self.trial.settings.s3.bucket;
        self.store.put_bytes(bucket, &key, content.to_owned(), "audio/wav").await.unwrap();
    }

    async fn send(&self, body: &[u8]) {
        let options = BasicPublishOptions::default();
        let sent = self.channel.basic_publish(
            "".into(),
            self.queue.as_str().into(),
            options,
            body,
            BasicProperties::default(),
        );
        sent.await.unwrap().await.unwrap();
    }

    /// A record as MinIO writes it: the key as of a form.
    fn record(&self, event: &str, name: &str) -> serde_json::Value {
        let key = format!("{}{name}", self.trial.keys);
        let encoded: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        json!({"eventVersion": "2.0", "eventSource": "minio:s3", "eventName": event,
               "s3": {"bucket": {"name": self.trial.settings.s3.bucket}, "object": {"key": encoded, "size": 5, "versionId": "v1"}}})
    }

    async fn written(&self, names: &[&str]) {
        let records: Vec<_> = names.iter().map(|name| self.record("s3:ObjectCreated:Put", name)).collect();
        self.send(
            json!({"EventName": "s3:ObjectCreated:Put", "Key": "calls/x", "Records": records}).to_string().as_bytes(),
        )
        .await;
    }

    async fn depth(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().message_count()
    }

    async fn until_enqueued(&self, count: i64) {
        let begun = Instant::now();
        let query = "SELECT count(*) FROM analyses WHERE published_at IS NOT NULL";
        loop {
            let found: i64 = sqlx::query_scalar(query).fetch_one(self.database.pool()).await.unwrap();
            if found >= count {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{found} of {count} are enqueued");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// The first of the notifications that were set aside: what it was, and why.
    async fn set_aside(&self) -> Option<(Vec<u8>, String)> {
        let aside = format!("{}.unreadable", self.queue);
        let got = self.channel.basic_get(aside.as_str().into(), BasicGetOptions { no_ack: true }).await.unwrap()?;
        let headers = got.delivery.properties.headers().clone().unwrap();
        let reason = headers.inner().get(adapters::amqp::header::REASON).unwrap().as_long_string().unwrap().to_string();
        Some((got.delivery.data, reason))
    }

    async fn end(self) {
        for queue in [self.queue.clone(), format!("{}.unreadable", self.queue)] {
            self.channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
        }
        self.connection.close(200, "done".into()).await.unwrap();
        self.database.close().await;
        self.trial.end().await.unwrap();
    }
}

#[tokio::test]
async fn notifications_enqueue_each_recording_once_and_unreadable_ones_are_set_aside() {
    let notified = Notified::new().await;
    notified.put("there before.wav", "a").await;
    let watching = Watching::start(&notified.trial.settings, &notified.args());
    notified.until_enqueued(1).await;

    for name in ["a b+c%.wav", "通话.mp3", "plain.wav", "again.wav"] {
        notified.put(name, name).await;
    }
    // Several records, one of them twice; others are ignored: deleted, elsewhere, no audio, gone, a test.
    notified.written(&["a b+c%.wav", "通话.mp3", "通话.mp3", "notes.txt", "gone.wav"]).await;
    let removed = json!({"Records": [notified.record("s3:ObjectRemoved:Delete", "again.wav")]});
    notified.send(removed.to_string().as_bytes()).await;
    notified.send(br#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"calls"}"#).await;
    let mut elsewhere = notified.record("ObjectCreated:Put", "plain.wav");
    elsewhere["s3"]["bucket"]["name"] = "another".into();
    notified.send(json!({"Records": [elsewhere]}).to_string().as_bytes()).await;
    // Ceph, and a store that does not encode keys.
    let mut plain = notified.record("ObjectCreated:CompleteMultipartUpload", "plain.wav");
    plain["s3"]["object"]["size"] = "5".into();
    let mut unencoded = plain.clone();
    unencoded["s3"]["object"]["key"] = format!("{}again.wav", notified.trial.keys).into();
    notified.send(b"no notification").await;
    notified
        .send(json!({"Records": [plain, {"eventName": "ObjectCreated:Put"}, unencoded]}).to_string().as_bytes())
        .await;
    notified.until_enqueued(5).await;

    // The same again changes nothing.
    notified.written(&["plain.wav", "again.wav"]).await;
    let begun = Instant::now();
    while notified.depth(&notified.queue).await > 0
        || notified.depth(&format!("{}.unreadable", notified.queue)).await < 2
    {
        assert!(begun.elapsed() < Duration::from_secs(30), "the queue is not emptied");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let summary = watching.stop().await.unwrap();
    assert_eq!((summary.enqueued, summary.left_out, summary.set_aside), (5, 0, 2), "{summary:?}");
    // What was in flight when the watcher ended is delivered again, changes nothing, and is acknowledged.
    let mut rounds = 0;
    while notified.depth(&notified.queue).await > 0 {
        rounds += 1;
        assert!(rounds < 10, "the queue is not emptied");
        let watching = Watching::start(&notified.trial.settings, &notified.args());
        let begun = Instant::now();
        while notified.depth(&notified.queue).await > 0 && begun.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let again = watching.stop().await.unwrap();
        assert_eq!((again.enqueued, again.set_aside), (0, 0), "{again:?}");
    }
    assert_eq!(notified.trial.waiting().await.unwrap(), 5);
    let (body, reason) = notified.set_aside().await.unwrap();
    assert!(body == b"no notification" && reason.contains("not JSON"), "{reason}");
    let (_, reason) = notified.set_aside().await.unwrap();
    assert!(reason.contains("record 1") && reason.contains("s3.bucket.name"), "{reason}");
    notified.end().await;
}

#[tokio::test]
async fn one_object_that_is_denied_is_left_out_of_its_notification_and_the_others_are_enqueued() {
    let notified = Notified::new().await;
    let mut settings = notified.trial.settings.clone();
    let proxy = Proxy::to(settings.s3.endpoint.trim_start_matches("http://").parse().unwrap()).await.unwrap();
    settings.s3.endpoint = format!("http://{}", proxy.address);
    let body = "<Error><Code>AccessDenied</Code></Error>";
    proxy.set(Mode::Answer { to: "forbidden", status: "403 Forbidden", kind: "application/xml", body });
    notified.put("there before.wav", "a").await;
    let args = WatchArgs { sidecars: true, grace: Some(Duration::ZERO), ..notified.args() };
    let watching = Watching::start(&settings, &args);
    // The listing of the start has ended, and asks for no object by itself.
    notified.until_enqueued(1).await;
    for name in ["forbidden.wav", "good.wav"] {
        notified.put(name, name).await;
    }
    notified.written(&["forbidden.wav", "forbidden.json", "good.wav"]).await;
    notified.until_enqueued(2).await;
    let summary = watching.stop().await.unwrap();
    assert_eq!(summary.enqueued, 2, "{summary:?}");
    assert!(summary.left_out >= 1, "{summary:?}");
    assert_eq!(notified.depth(&notified.queue).await, 0, "the notification is settled");
    notified.end().await;
}

#[tokio::test]
async fn what_is_not_enqueued_when_the_watcher_ends_stays_in_the_queue() {
    let notified = Notified::new().await;
    notified.put("a.wav", "a").await;
    // It does not rest for an hour, so it is in flight and not enqueued.
    let args = WatchArgs { rest: Some(Duration::from_mins(15)), ..notified.args() };
    let watching = Watching::start(&notified.trial.settings, &args);
    notified.written(&["a.wav"]).await;
    let begun = Instant::now();
    while notified.depth(&notified.queue).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not delivered");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let summary = watching.stop().await.unwrap();
    assert_eq!(summary.enqueued, 0, "{summary:?}");
    let begun = Instant::now();
    while notified.depth(&notified.queue).await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is lost");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    notified.end().await;
}

#[tokio::test]
async fn a_sidecar_that_is_notified_later_corrects_its_recording() {
    let notified = Notified::new().await;
    let args = WatchArgs { sidecars: true, grace: Some(Duration::from_secs(2)), ..notified.args() };
    let watching = Watching::start(&notified.trial.settings, &args);
    // In this order: however slow the machine, the first has its call data from the beginning.
    notified.put("a.json", r#"{"call_id":"c-1"}"#).await;
    notified.put("a.wav", "a").await;
    notified.put("b.wav", "b").await;
    notified.written(&["a.wav", "b.wav"]).await;
    notified.until_enqueued(2).await;
    notified.put("b.json", r#"{"call_id":"c-2"}"#).await;
    notified.written(&["b.json"]).await;
    let begun = Instant::now();
    let query = "SELECT coalesce(string_agg(call_id, ' ' ORDER BY key), '') FROM recordings";
    loop {
        let found: String = sqlx::query_scalar(query).fetch_one(notified.database.pool()).await.unwrap();
        if found == "c-1 c-2" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "call ids: {found}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let summary = watching.stop().await.unwrap();
    assert_eq!((summary.enqueued, summary.corrected), (2, 1), "{summary:?}");
    notified.end().await;
}
