//! What the store's client does when the store misbehaves.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::s3;
use adapters::s3::Store;
use domain::{FailureCode, ObjectRef};
use futures_util::TryStreamExt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tests::proxy::{Mode, Proxy};
use tests::tls::Authority;
use tests::trial::Trial;
use tokio::time::timeout;

const MIB: usize = 1024 * 1024;
const SOON: Duration = Duration::from_secs(40);

struct Setting {
    trial: Trial,
    object: ObjectRef,
    folder: tempfile::TempDir,
    body: Vec<u8>,
}

impl Setting {
    async fn new() -> Self {
        let trial = Trial::new().unwrap();
        let store = Store::new(&trial.settings.s3).unwrap();
        let bucket = trial.settings.s3.bucket.clone();
        store.ensure_bucket(&bucket).await.unwrap();
        let key = format!("{}call.wav", trial.keys);
        let body: Vec<u8> = (0..2 * MIB).map(|i| (i / 7) as u8).collect();
        let etag = store.put_bytes(&bucket, &key, body.clone(), "audio/wav").await.unwrap();
        let object = ObjectRef { bucket, key, etag: Some(etag) };
        Self { trial, object, folder: tempfile::tempdir().unwrap(), body }
    }

    async fn proxy(&self) -> (Proxy, s3::Settings) {
        let proxy = Proxy::to(upstream(&self.trial.settings.s3)).await.unwrap();
        let s3 = s3::Settings {
            endpoint: format!("http://{}", proxy.address),
            stall_timeout_s: 1,
            connect_timeout_s: 1,
            attempts: 2,
            ..self.trial.settings.s3.clone()
        };
        (proxy, s3)
    }

    async fn fetch(&self, s3: &s3::Settings) -> Result<Vec<u8>, domain::Failure> {
        let dest = self.folder.path().join("call.wav");
        let fetch = Store::new(s3).unwrap().fetch(&self.object, &dest, u64::MAX).await.map(|_| ());
        fetch.map(|()| std::fs::read(&dest).unwrap())
    }
}

fn upstream(s3: &s3::Settings) -> SocketAddr {
    s3.endpoint.trim_start_matches("http://").parse().expect("the stack's store is on loopback, by address")
}

#[tokio::test]
async fn a_body_that_is_cut_is_taken_up_where_it_ended() {
    let setting = Setting::new().await;
    let (proxy, s3) = setting.proxy().await;
    proxy.set(Mode::CutAfter(600 * 1024));
    let cut = setting.fetch(&s3).await.unwrap_err();
    assert_eq!(cut.code, FailureCode::StoreUnreachable, "two attempts are not enough: {cut}");
    let whole = setting.fetch(&s3::Settings { attempts: 6, ..s3 }).await.unwrap();
    assert!(whole == setting.body, "the parts make the whole");
    setting.trial.end().await.unwrap();
}

#[tokio::test]
async fn a_store_that_stalls_or_says_503_is_unreachable_within_its_time() {
    let setting = Setting::new().await;
    let (proxy, s3) = setting.proxy().await;
    for mode in [Mode::Unavailable, Mode::Stall, Mode::Cut] {
        proxy.set(mode);
        let begun = Instant::now();
        let failure = timeout(SOON, setting.fetch(&s3)).await.expect("it ends").unwrap_err();
        println!("{mode:?}: {failure}, after {:?}", begun.elapsed());
        assert_eq!(failure.code, FailureCode::StoreUnreachable, "{mode:?}: {failure}");
        let store = Store::new(&s3).unwrap();
        let put = store.put_bytes(&s3.bucket, "x", b"x".as_slice(), "text/plain");
        let failure = timeout(SOON, put).await.expect("it ends").unwrap_err();
        assert_eq!(failure.code, FailureCode::StoreUnreachable, "{mode:?}: {failure}");
    }
    proxy.set(Mode::Pass);
    assert!(setting.fetch(&s3).await.unwrap() == setting.body);
    setting.trial.end().await.unwrap();
}

#[tokio::test]
async fn a_page_in_place_of_the_store_is_no_answer() {
    let setting = Setting::new().await;
    let (proxy, s3) = setting.proxy().await;
    let (store, bucket, key) = (Store::new(&s3).unwrap(), &setting.object.bucket, &setting.object.key);
    for (status, kind, body) in [
        ("200 OK", "text/html; charset=utf-8", "<!DOCTYPE html><html><body>We are back soon.</body></html>"),
        ("404 Not Found", "text/html", "<html><body>Not here</body></html>"),
        ("404 Not Found", "text/plain", "404 page not found"),
        ("403 Forbidden", "text/html", "<html><body>Log in</body></html>"),
        ("200 OK", "application/json", "{\"status\":\"maintenance\"}"),
    ] {
        proxy.set(Mode::Answer { to: "", status, kind, body });
        // A missing object, an empty bucket, a deletion that is done: none of these may be believed
        let failures = [
            store.head(bucket, key).await.map(|_| "there or not"),
            store.delete(bucket, std::slice::from_ref(key)).await.map(|()| "deleted"),
            store.ping(bucket).await.map(|()| "there"),
            store.ensure_bucket(bucket).await.map(|()| "created"),
            store.list(bucket, &setting.trial.keys).try_collect::<Vec<_>>().await.map(|_| "listed"),
            store.open_uploads(bucket, &setting.trial.keys).await.map(|_| "listed"),
            store.get_bytes(bucket, key, 1 << 30).await.map(|_| "read"),
            store.put_bytes(bucket, key, b"x".as_slice(), "text/plain").await.map(|_| "written"),
            setting.fetch(&s3).await.map(|_| "fetched"),
        ];
        for (number, answer) in failures.into_iter().enumerate() {
            let failure = answer.expect_err(&format!("{status} {kind}, request {number}"));
            assert_eq!(failure.code, FailureCode::StoreUnreachable, "{status} {kind}, request {number}: {failure}");
        }
    }
    // The store itself is believed, also with objects that are pages
    proxy.set(Mode::Pass);
    let page = format!("{}page.html", setting.trial.keys);
    store.put_bytes(bucket, &page, b"<html></html>".as_slice(), "text/html").await.unwrap();
    assert_eq!(store.head(bucket, &page).await.unwrap().unwrap().bytes, 13);
    assert_eq!(store.get_bytes(bucket, &page, 100).await.unwrap(), b"<html></html>");
    store.delete(bucket, std::slice::from_ref(&page)).await.unwrap();
    assert_eq!(store.head(bucket, &page).await.unwrap(), None);
    assert!(setting.fetch(&s3).await.unwrap() == setting.body);
    setting.trial.end().await.unwrap();
}

#[tokio::test]
async fn a_bucket_of_another_region_is_named_and_not_waited_for() {
    let trial = Trial::new().unwrap();
    let proxy = Proxy::to(upstream(&trial.settings.s3)).await.unwrap();
    let mut settings = trial.settings.s3.clone();
    settings.endpoint = format!("http://{}", proxy.address);
    let store = Store::new(&settings).unwrap();
    // A header more, as AWS sends it.
    let kind = "application/xml\r\nx-amz-bucket-region: eu-central-1";
    proxy.set(Mode::Answer { to: "", status: "301 Moved Permanently", kind, body: "" });
    let refused = store.ping(&settings.bucket).await.unwrap_err();
    assert!(refused.code == FailureCode::StoreDenied && !refused.is_unreachable(), "{refused}");
    assert!(refused.message.contains("`eu-central-1`: set `s3.region`"), "{refused}");
    let body = "<Error><Code>NoSuchUpload</Code></Error>";
    proxy.set(Mode::Answer { to: "", status: "404 Not Found", kind: "application/xml", body });
    let lost = store.get_bytes(&settings.bucket, "k", 10).await.unwrap_err();
    assert_eq!(lost.code, FailureCode::StoreUnreachable, "an upload whose answer was lost is made again: {lost}");
    let body = "<Error><Code>NoSuchBucket</Code></Error>";
    proxy.set(Mode::Answer { to: "", status: "404 Not Found", kind: "application/xml", body });
    let kept = store.delete(&settings.bucket, &["k".to_owned()]).await.unwrap_err();
    assert_eq!(kept.code, FailureCode::StoreDenied, "{kept}");
    trial.end().await.unwrap();
}

#[tokio::test]
async fn an_upload_in_parts_that_fails_leaves_no_object() {
    let setting = Setting::new().await;
    let (proxy, s3) = setting.proxy().await;
    let s3 = s3::Settings { part_mib: 5, ..s3 };
    let file = setting.folder.path().join("large.wav");
    std::fs::write(&file, vec![7; 12 * MIB]).unwrap();
    let key = format!("{}large.wav", setting.trial.keys);
    // Opening the upload passes; every part breaks off in the middle.
    proxy.set(Mode::CutRequestsAfter(MIB));
    let store = Store::new(&s3).unwrap();
    let failure = store.put_file(&s3.bucket, &key, &file, "audio/wav").await.unwrap_err();
    assert_eq!(failure.code, FailureCode::StoreUnreachable, "{failure}");
    let direct = Store::new(&setting.trial.settings.s3).unwrap();
    assert_eq!(direct.head(&s3.bucket, &key).await.unwrap(), None);
    proxy.set(Mode::Pass);
    store.put_file(&s3.bucket, &key, &file, "audio/wav").await.unwrap();
    assert_eq!(direct.head(&s3.bucket, &key).await.unwrap().unwrap().bytes, 12 * MIB as u64);
    setting.trial.end().await.unwrap();
}

#[tokio::test]
async fn tls_is_spoken_to_the_named_authority_only() {
    let setting = Setting::new().await;
    let (ours, strangers) = (Authority::new().unwrap(), Authority::new().unwrap());
    let plain = setting.trial.settings.s3.clone();
    let front = ours.front("IP:127.0.0.1", upstream(&plain)).await.unwrap();
    let misnamed = ours.front("DNS:store.example", upstream(&plain)).await.unwrap();
    let secured = |port: u16, ca_file| s3::Settings {
        endpoint: format!("https://127.0.0.1:{port}"),
        ca_file,
        attempts: 1,
        ..plain.clone()
    };

    assert!(setting.fetch(&secured(front.port(), ours.file())).await.unwrap() == setting.body);
    let stranger = setting.fetch(&secured(front.port(), strangers.file())).await.unwrap_err();
    assert_eq!(stranger.code, FailureCode::StoreDenied, "{stranger}");
    assert!(stranger.message.contains("certificate"), "{stranger}");
    let other_name = setting.fetch(&secured(misnamed.port(), ours.file())).await.unwrap_err();
    assert!(other_name.message.contains("certificate"), "{other_name}");
    for wrong in ["/no/such/ca.pem", file!()] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(wrong);
        let failure = Store::new(&secured(front.port(), path)).unwrap_err();
        assert_eq!(failure.code, FailureCode::ConfigInvalid, "{failure}");
        assert!(failure.message.contains("s3.ca_file"), "{failure}");
    }
    setting.trial.end().await.unwrap();
}
