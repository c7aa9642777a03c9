//! What leases and publishers do when the connection fails.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::amqp;
use adapters::amqp::{Lane, Lease, LeaseLost, Leases, Link, Publisher, consume};
use domain::{BatchId, CallData, FailureCode, Granularity, Job, ObjectRef};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tests::own_broker::OwnBroker;
use tests::proxy::{Mode, Proxy};
use tests::tls::Authority;
use tests::trial::Trial;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(30);

fn jobs(count: usize) -> Vec<Job> {
    let job = |key: String| {
        let object = ObjectRef { bucket: "calls".into(), key, etag: None };
        let options = domain::AnalysisOptions {
            model: "m".into(),
            channels: None,
            granularity: Granularity::Utterance,
            embedding: true,
        };
        Job::new(BatchId::from_name("night"), object, CallData::default(), options, chrono::Utc::now())
    };
    (0..count).map(|i| job(format!("{i}.wav"))).collect()
}

async fn next(leases: &mut Leases) -> Lease {
    timeout(SOON, leases.recv()).await.expect("a job arrives").expect("not stopped")
}

async fn link(leases: &Leases, wanted: impl Fn(&Link) -> bool) -> Link {
    timeout(SOON, leases.health().wait_for(|l| wanted(l))).await.expect("the link changes").unwrap().clone()
}

fn address(amqp: &amqp::Settings) -> SocketAddr {
    let url: url::Url = secrecy::ExposeSecret::expose_secret(&amqp.url).parse().unwrap();
    ([127, 0, 0, 1], url.port().unwrap()).into()
}

/// The same settings, leading to another port.
fn through(amqp: &amqp::Settings, scheme: &str, port: u16) -> amqp::Settings {
    let mut url: url::Url = secrecy::ExposeSecret::expose_secret(&amqp.url).parse().unwrap();
    url.set_port(Some(port)).unwrap();
    let url = url.to_string().replacen("amqp", scheme, 1);
    amqp::Settings { url: url.into(), reconnect_max_s: 1, ..amqp.clone() }
}

#[tokio::test]
async fn a_broken_connection_takes_the_leases_with_it_and_the_new_one_keeps_the_prefetch() {
    let trial = Trial::new().unwrap();
    let proxy = Proxy::to(address(&trial.settings.amqp)).await.unwrap();
    let amqp = through(&trial.settings.amqp, "amqp", proxy.address.port());
    let results = Publisher::new(&trial.settings.amqp).publish_jobs(&jobs(6), Lane::Bulk).await;
    assert!(results.iter().all(Result::is_ok));

    let stop = CancellationToken::new();
    let mut leases = consume(&amqp, &Lane::Bulk.of("m"), 2, stop.clone());
    let (first, second) = (next(&mut leases).await, next(&mut leases).await);
    proxy.set(Mode::Cut);
    timeout(SOON, first.lost().cancelled()).await.expect("the lease learns that it is lost");
    assert_eq!(first.ack().await, Err(LeaseLost));
    let Link::Connecting { why } = link(&leases, |l| *l != Link::Up).await else { panic!("not up") };
    assert!(!why.is_empty());
    drop(second);

    proxy.set(Mode::Pass);
    link(&leases, |l| *l == Link::Up).await;
    let (first, second) = (next(&mut leases).await, next(&mut leases).await);
    assert!(!first.lost().is_cancelled());
    assert!(first.redelivered && second.redelivered, "the jobs in flight come again");
    assert!(timeout(Duration::from_secs(1), leases.recv()).await.is_err(), "two are in flight, and no more come");
    first.ack().await.unwrap();
    next(&mut leases).await.ack().await.unwrap();
    second.ack().await.unwrap();
    stop.cancel();
    assert!(leases.recv().await.is_none());
    timeout(SOON, leases.closed()).await.unwrap();
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_noticed_by_its_heartbeats() {
    let trial = Trial::new().unwrap();
    let proxy = Proxy::to(address(&trial.settings.amqp)).await.unwrap();
    let mut amqp = through(&trial.settings.amqp, "amqp", proxy.address.port());
    amqp.heartbeat_s = 1;
    Publisher::new(&trial.settings.amqp).publish_job(&jobs(1)[0], Lane::Bulk).await.unwrap();
    let mut leases = consume(&amqp, &Lane::Bulk.of("m"), 1, CancellationToken::new());
    let lease = next(&mut leases).await;
    let begun = Instant::now();
    proxy.set(Mode::Stall);
    timeout(SOON, lease.lost().cancelled()).await.expect("silence is noticed");
    println!("silence noticed after {:?}, at a heartbeat of 1 s", begun.elapsed());
    assert_eq!(lease.ack().await, Err(LeaseLost));
    proxy.set(Mode::Cut);
    proxy.set(Mode::Pass);
    next(&mut leases).await.ack().await.unwrap();
    drop(leases);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_starts_before_the_broker_waits_and_says_for_what() {
    let trial = Trial::new().unwrap();
    let proxy = Proxy::to(address(&trial.settings.amqp)).await.unwrap();
    proxy.set(Mode::Cut);
    let amqp = through(&trial.settings.amqp, "amqp", proxy.address.port());
    let mut leases = consume(&amqp, &Lane::Bulk.of("m"), 1, CancellationToken::new());
    let place = proxy.address.to_string();
    link(&leases, |l| matches!(l, Link::Connecting { why } if why.contains(&place))).await;
    proxy.set(Mode::Pass);
    link(&leases, |l| *l == Link::Up).await;
    Publisher::new(&amqp).publish_job(&jobs(1)[0], Lane::Bulk).await.unwrap();
    next(&mut leases).await.ack().await.unwrap();
    drop(leases);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn publishing_outlives_a_cut_and_gives_up_with_a_reason_when_it_lasts() {
    let trial = Trial::new().unwrap();
    let proxy = Proxy::to(address(&trial.settings.amqp)).await.unwrap();
    let mut amqp = through(&trial.settings.amqp, "amqp", proxy.address.port());
    amqp.confirm_timeout_s = 3;
    let publisher = Publisher::new(&amqp);
    publisher.publish_job(&jobs(1)[0], Lane::Bulk).await.unwrap();
    proxy.set(Mode::Cut);
    let recovering = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        proxy.set(Mode::Pass);
    };
    let many = jobs(50);
    let (results, ()) = tokio::join!(publisher.publish_jobs(&many, Lane::Bulk), recovering);
    assert!(results.iter().all(Result::is_ok));
    proxy.set(Mode::Cut);
    let failure = timeout(SOON, publisher.publish_job(&many[0], Lane::Bulk)).await.unwrap().unwrap_err();
    assert_eq!(failure.code, FailureCode::BrokerUnreachable);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn tls_is_spoken_to_the_named_authority_only() {
    let trial = Trial::new().unwrap();
    let (ours, strangers) = (Authority::new().unwrap(), Authority::new().unwrap());
    let upstream = address(&trial.settings.amqp);
    let front = ours.front("IP:127.0.0.1", upstream).await.unwrap();
    let misnamed = ours.front("DNS:broker.example", upstream).await.unwrap();

    let mut amqp = through(&trial.settings.amqp, "amqps", front.port());
    amqp.ca_file = ours.file();
    Publisher::new(&amqp).publish_job(&jobs(1)[0], Lane::Bulk).await.unwrap();
    let mut leases = consume(&amqp, &Lane::Bulk.of("m"), 1, CancellationToken::new());
    next(&mut leases).await.ack().await.unwrap();
    drop(leases);

    let refused = async |port: u16, ca_file| {
        let mut amqp = through(&trial.settings.amqp, "amqps", port);
        amqp.ca_file = ca_file;
        let failure = Publisher::new(&amqp).ready().await.expect_err("must be refused");
        assert!(!failure.is_unreachable(), "waiting does not help: {failure}");
        failure.message
    };
    let stranger = refused(front.port(), strangers.file()).await;
    assert!(stranger.contains("UnknownIssuer") || stranger.contains("invalid peer certificate"), "{stranger}");
    let other_name = refused(misnamed.port(), ours.file()).await;
    assert!(other_name.contains("not valid for name"), "{other_name}");
    let no_file = refused(front.port(), "/no/such/ca.pem".into()).await;
    assert!(no_file.contains("amqp.ca_file"), "{no_file}");
    let system = refused(front.port(), std::path::PathBuf::new()).await;
    assert!(!system.is_empty(), "the system's authorities don't know ours");
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_not_taken_for_an_unreachable_broker() {
    let trial = Trial::new().unwrap();
    let changed = |change: &dyn Fn(&mut url::Url)| {
        let mut url: url::Url = secrecy::ExposeSecret::expose_secret(&trial.settings.amqp.url).parse().unwrap();
        change(&mut url);
        amqp::Settings { url: url.to_string().into(), ..trial.settings.amqp.clone() }
    };
    let refused = async |amqp: amqp::Settings| {
        let begun = Instant::now();
        let failure = Publisher::new(&amqp).publish_job(&jobs(1)[0], Lane::Bulk).await.expect_err("must be refused");
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not wait: {:?}", begun.elapsed());
        failure
    };
    let wrong_password = refused(changed(&|url| url.set_password(Some("wrong")).unwrap())).await;
    assert_eq!(wrong_password.code, FailureCode::BrokerRefused, "{wrong_password}");
    assert!(wrong_password.message.contains("password"), "{wrong_password}");
    let wrong_vhost = refused(changed(&|url| url.set_path("/no-such-vhost"))).await;
    assert_eq!(wrong_vhost.code, FailureCode::BrokerRefused, "{wrong_vhost}");
    assert!(wrong_vhost.message.contains("vhost"), "{wrong_vhost}");

    // A queue of that name with other properties.
    let url = secrecy::ExposeSecret::expose_secret(&trial.settings.amqp.url);
    let broker = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = broker.create_channel().await.unwrap();
    let options = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
    let queue = format!("{}.jobs.bulk", trial.settings.amqp.prefix);
    channel.queue_declare(queue.into(), options, lapin::types::FieldTable::default()).await.unwrap();
    let other_properties = refused(trial.settings.amqp.clone()).await;
    assert_eq!(other_properties.code, FailureCode::BrokerRefused, "{other_properties}");
    assert!(other_properties.message.contains("amqp.prefix"), "{other_properties}");
    trial.end().await.unwrap();
}

#[tokio::test]
async fn wrong_settings_are_named_and_the_longest_prefix_works() {
    let mut trial = Trial::new().unwrap();
    // The longest name is that of a queue of a model whose name has no limit.
    let longest = 255 - ".jobs.interactive.".len() - 64;
    trial.settings.amqp.prefix.push_str(&"x".repeat(longest - trial.settings.amqp.prefix.len()));
    Publisher::new(&trial.settings.amqp).publish_job(&jobs(1)[0], Lane::Bulk).await.unwrap();

    let invalid = async |amqp: amqp::Settings| {
        let failure = Publisher::new(&amqp).ready().await.expect_err("must be refused");
        assert_eq!(failure.code, FailureCode::ConfigInvalid, "{failure}");
        failure.message
    };
    let plain = &trial.settings.amqp;
    let too_long = invalid(amqp::Settings { prefix: format!("{}x", plain.prefix), ..plain.clone() }).await;
    assert!(too_long.contains("amqp.prefix"), "{too_long}");
    let no_url =
        invalid(amqp::Settings { url: "amqp://u:hunter2@h:no-port/v".to_owned().into(), ..plain.clone() }).await;
    assert!(no_url.contains("amqp.url") && !no_url.contains("hunter2"), "{no_url}");
    trial.end().await.unwrap();
}

/// Three faults on one private node, since starting one takes ten seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_short_of_memory_impatient_or_killed_loses_nothing() {
    let broker = OwnBroker::start().unwrap();
    publishing_pauses_while_the_broker_is_short_of_memory(&broker).await;
    a_lease_held_too_long_is_lost_and_noticed(&broker).await;
    jobs_outlive_a_killed_broker(&broker).await;
}

async fn publishing_pauses_while_the_broker_is_short_of_memory(broker: &OwnBroker) {
    let amqp = amqp::Settings { prefix: "memory".into(), confirm_timeout_s: 1, ..broker.settings().unwrap() };
    let publisher = Publisher::new(&amqp);
    let jobs = jobs(3);
    publisher.publish_job(&jobs[0], Lane::Bulk).await.unwrap();
    let mut leases = consume(&amqp, &Lane::Bulk.of("m"), 2, CancellationToken::new());
    let lease = next(&mut leases).await;

    broker.control(&["set_vm_memory_high_watermark", "0.000001"]).unwrap();
    let mut publishing = {
        let (publisher, job) = (publisher.clone(), jobs[1].clone());
        tokio::spawn(async move { publisher.publish_job(&job, Lane::Bulk).await })
    };
    // The confirm timeout does not run while the broker blocks publishers.
    let confirm_timeout = Duration::from_secs(amqp.confirm_timeout_s);
    let ended = timeout(3 * confirm_timeout, &mut publishing).await;
    assert!(ended.is_err(), "publishing pauses: {ended:?}");
    lease.ack().await.expect("consumers are not blocked with it");

    broker.control(&["set_vm_memory_high_watermark", "0.6"]).unwrap();
    timeout(SOON, publishing).await.expect("publishing goes on").unwrap().unwrap();
    next(&mut leases).await.ack().await.unwrap();
}

async fn a_lease_held_too_long_is_lost_and_noticed(broker: &OwnBroker) {
    let impatient =
        "application:set_env(rabbit, consumer_timeout, 2000), application:set_env(rabbit, channel_tick_interval, 500).";
    broker.control(&["eval", impatient]).unwrap();
    let amqp = amqp::Settings { prefix: "impatient".into(), ..broker.settings().unwrap() };
    Publisher::new(&amqp).publish_job(&jobs(1)[0], Lane::Bulk).await.unwrap();
    let mut leases = consume(&amqp, &Lane::Bulk.of("m"), 1, CancellationToken::new());
    let held = next(&mut leases).await;
    if broker.takes_the_timeout_of_a_consumer() {
        assert!(
            timeout(Duration::from_secs(6), held.lost().cancelled()).await.is_err(),
            "it is as patient as it was asked"
        );
        return held.ack().await.unwrap();
    }
    timeout(SOON, held.lost().cancelled()).await.expect("the broker closes the channel, and the lease learns of it");
    assert_eq!(held.ack().await, Err(LeaseLost));
    let again = next(&mut leases).await;
    assert!(again.redelivered);
    // From then on the leases know how long they last.
    let left = again.settle_until().saturating_duration_since(tokio::time::Instant::now());
    assert!(left < Duration::from_secs(2), "{left:?}");
    again.ack().await.unwrap();
    let patient = "application:set_env(rabbit, consumer_timeout, 1800000), application:set_env(rabbit, channel_tick_interval, 60000).";
    broker.control(&["eval", patient]).unwrap();
}

async fn jobs_outlive_a_killed_broker(broker: &OwnBroker) {
    let amqp = amqp::Settings { prefix: "killed".into(), ..broker.settings().unwrap() };
    let publisher = Publisher::new(&amqp);
    let jobs = jobs(40);
    assert!(publisher.publish_jobs(&jobs[..20], Lane::Bulk).await.iter().all(Result::is_ok));
    let mut leases = consume(&amqp, &Lane::Bulk.of("m"), 4, CancellationToken::new());
    let held = next(&mut leases).await;
    // RabbitMQ writes the register of its quorum queues to disk every three minutes: one that it does not find there when
    // it starts never gets a leader (docs/delivery.md, "Limits").
    broker.control(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]).unwrap();
    broker.verb("kill").unwrap();
    timeout(SOON, held.lost().cancelled()).await.expect("the lease learns that it is lost");
    drop(held);
    let begun = Instant::now();
    let publishing = {
        let (publisher, more) = (publisher.clone(), jobs[20..].to_vec());
        tokio::spawn(async move { publisher.publish_jobs(&more, Lane::Bulk).await })
    };
    broker.verb("start").unwrap();
    let results = publishing.await.unwrap();
    let failed = results.iter().find(|result| result.is_err());
    assert!(failed.is_none(), "publishing waits for the broker, but: {failed:?}");
    let mut seen = std::collections::HashSet::new();
    while seen.len() < jobs.len() {
        let lease = next(&mut leases).await;
        seen.insert(lease.message_id.clone());
        lease.ack().await.unwrap();
    }
    println!("40 of 40 jobs, {:?} after the broker was killed", begun.elapsed());
}
