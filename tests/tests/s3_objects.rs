//! Objects in and out of a real store.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::s3::Store;
use domain::{FailureCode, ObjectRef};
use futures_util::TryStreamExt;
use tests::trial::Trial;

const MIB: usize = 1024 * 1024;

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn object(trial: &Trial, key: &str, etag: Option<&str>) -> ObjectRef {
    ObjectRef { bucket: trial.settings.s3.bucket.clone(), key: key.into(), etag: etag.map(str::to_owned) }
}

async fn store(trial: &Trial) -> Store {
    let store = Store::new(&trial.settings.s3).unwrap();
    store.ensure_bucket(&trial.settings.s3.bucket).await.unwrap();
    store.ping(&trial.settings.s3.bucket).await.unwrap();
    store
}

#[tokio::test]
async fn a_file_comes_back_as_it_went_in_one_request_or_in_parts() {
    let mut trial = Trial::new().unwrap();
    trial.settings.s3.part_mib = 5;
    let store = store(&trial).await;
    let bucket = trial.settings.s3.bucket.clone();
    let folder = tempfile::tempdir().unwrap();
    for length in [0, 1, 5 * MIB, 5 * MIB + 1, 23 * MIB + 7] {
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let key = format!("{}{length}.bin", trial.keys);
        std::fs::write(&from, bytes(length)).unwrap();
        let etag = store.put_file(&bucket, &key, &from, "audio/wav").await.unwrap();
        let head = store.head(&bucket, &key).await.unwrap().expect("it is there");
        assert_eq!((head.bytes, head.etag.as_deref()), (length as u64, Some(etag.as_str())));
        let fetched = store.fetch(&object(&trial, &key, Some(&etag)), &to, 100 * MIB as u64).await.unwrap();
        assert_eq!((fetched.bytes, fetched.etag.as_deref()), (length as u64, Some(etag.as_str())));
        assert!(std::fs::read(&to).unwrap() == bytes(length), "{length} bytes differ");
    }
    trial.end().await.unwrap();
}

#[tokio::test]
async fn keys_that_bite_are_written_listed_read_and_deleted() {
    let trial = Trial::new().unwrap();
    let store = store(&trial).await;
    let bucket = &trial.settings.s3.bucket;
    let long = "k".repeat(200);
    let names = [
        "a b.wav",
        "通话 录音/第一.wav",
        "1+2.wav",
        "100%.wav",
        "%2e%2e/x.wav",
        "a..b.wav",
        "...",
        "q?x=1&y=2#z.wav",
        "'quote\"<>&.wav",
        "émoji 😠.wav",
        "semi;colon:at@.wav",
        "~tilde!*().wav",
        "=eq,comma.wav",
        &long,
    ];
    for name in names {
        let key = format!("{}{name}", trial.keys);
        store.put_bytes(bucket, &key, name.as_bytes(), "text/plain").await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(store.get_bytes(bucket, &key, 1000).await.unwrap(), name.as_bytes(), "{name}");
    }
    let listed: Vec<_> = store.list(bucket, &trial.keys).try_collect().await.unwrap();
    let mut keys: Vec<_> = listed.iter().map(|o| o.key.strip_prefix(&trial.keys).unwrap()).collect();
    let mut wanted = names.to_vec();
    keys.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(keys, wanted);
    let all: Vec<String> = listed.into_iter().map(|o| o.key).collect();
    store.delete(bucket, &all).await.unwrap();
    store.delete(bucket, &all).await.unwrap();
    assert_eq!(store.list(bucket, &trial.keys).try_collect::<Vec<_>>().await.unwrap(), []);
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_key_of_1024_bytes_is_an_object_like_any_other() {
    let trial = Trial::new().unwrap();
    let store = store(&trial).await;
    let bucket = &trial.settings.s3.bucket;
    // Parts of at most 200 bytes: stores that keep keys as files allow no longer names.
    let mut key = trial.keys.clone();
    while key.len() < 1024 {
        key.push(if (key.len() + 1).is_multiple_of(200) { '/' } else { 'x' });
    }
    store.put_bytes(bucket, &key, b"long".as_slice(), "text/plain").await.unwrap();
    assert_eq!(store.get_bytes(bucket, &key, 10).await.unwrap(), b"long");
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_key_that_climbs_is_stored_or_refused_but_never_another_object() {
    let trial = Trial::new().unwrap();
    let store = store(&trial).await;
    let bucket = &trial.settings.s3.bucket;
    let victim = format!("{}victim.wav", trial.keys);
    let climbing = format!("{}folder/../victim.wav", trial.keys);
    store.put_bytes(bucket, &victim, b"victim".as_slice(), "text/plain").await.unwrap();
    match store.put_bytes(bucket, &climbing, b"climber".as_slice(), "text/plain").await {
        Ok(_) => assert_eq!(store.get_bytes(bucket, &climbing, 100).await.unwrap(), b"climber"),
        Err(refused) => assert_eq!(refused.code, FailureCode::StoreRefused, "{refused}"),
    }
    assert_eq!(store.get_bytes(bucket, &victim, 100).await.unwrap(), b"victim");
    trial.end().await.unwrap();
}

#[tokio::test]
async fn a_listing_has_as_many_pages_as_it_needs() {
    let trial = Trial::new().unwrap();
    let store = store(&trial).await;
    let bucket = trial.settings.s3.bucket.clone();
    let puts = (0..1_050).map(|i| {
        let (store, bucket, key) = (store.clone(), bucket.clone(), format!("{}{i:05}.wav", trial.keys));
        async move { store.put_bytes(&bucket, &key, b"x".as_slice(), "audio/wav").await }
    });
    let puts = futures_util::StreamExt::buffer_unordered(futures_util::stream::iter(puts), 16);
    puts.try_collect::<Vec<_>>().await.unwrap();
    let odd = ["z a+b%.wav", "z\n.wav", "z通话.wav"].map(|name| format!("{}{name}", trial.keys));
    for key in &odd {
        store.put_bytes(&bucket, key, b"x".as_slice(), "audio/wav").await.unwrap();
    }
    let keys: Vec<_> = store.list(&bucket, &trial.keys).map_ok(|o| o.key).try_collect().await.unwrap();
    assert_eq!(keys.len(), 1_053);
    assert!(odd.iter().all(|key| keys.contains(key)), "{:?}", &keys[1_050..]);
    let after = format!("{}01047.wav", trial.keys);
    let rest: Vec<_> = store.list_after(&bucket, &trial.keys, Some(&after)).try_collect().await.unwrap();
    assert_eq!(rest.len(), 5);
    assert!(keys.is_sorted());
    trial.end().await.unwrap();
}

#[tokio::test]
async fn what_is_gone_changed_or_too_large_has_its_code() {
    let trial = Trial::new().unwrap();
    let store = store(&trial).await;
    let bucket = &trial.settings.s3.bucket;
    let key = format!("{}a.wav", trial.keys);
    let folder = tempfile::tempdir().unwrap();
    let dest = folder.path().join("a");
    let missing = store.fetch(&object(&trial, &key, None), &dest, 100).await.unwrap_err();
    assert_eq!(missing.code, FailureCode::ObjectNotFound, "{missing}");
    assert_eq!(store.head(bucket, &key).await.unwrap(), None);

    let first = store.put_bytes(bucket, &key, b"first".as_slice(), "audio/wav").await.unwrap();
    store.put_bytes(bucket, &key, b"second".as_slice(), "audio/wav").await.unwrap();
    let changed = store.fetch(&object(&trial, &key, Some(&first)), &dest, 100).await.unwrap_err();
    assert_eq!(changed.code, FailureCode::ObjectChanged, "{changed}");

    let large = store.fetch(&object(&trial, &key, None), &dest, 5).await.unwrap_err();
    assert_eq!(large.code, FailureCode::ObjectTooLarge, "{large}");
    assert_eq!(std::fs::metadata(&dest).unwrap().len(), 0, "nothing was written");
    assert_eq!(store.get_bytes(bucket, &key, 5).await.unwrap_err().code, FailureCode::ObjectTooLarge);

    let bucket = ObjectRef { bucket: "no-such-bucket-here".into(), key: "a".into(), etag: None };
    let no_bucket = store.fetch(&bucket, &dest, 5).await.unwrap_err();
    assert_eq!(no_bucket.code, FailureCode::StoreDenied, "{no_bucket}");
    assert!(store.ping("no-such-bucket-here").await.unwrap_err().message.contains("does not exist"));
    trial.end().await.unwrap();
}

#[tokio::test]
async fn wrong_keys_and_an_absent_store_are_told_apart() {
    let trial = Trial::new().unwrap();
    let mut wrong = trial.settings.s3.clone();
    wrong.secret_key = "wrong".to_owned().into();
    let denied = Store::new(&wrong).unwrap().get_bytes(&wrong.bucket, "a", 10).await.unwrap_err();
    assert_eq!(denied.code, FailureCode::StoreDenied, "{denied}");

    let mut absent = trial.settings.s3.clone();
    absent.endpoint = "http://127.0.0.1:1".into();
    let unreachable = Store::new(&absent).unwrap().ping(&absent.bucket).await.unwrap_err();
    assert_eq!(unreachable.code, FailureCode::StoreUnreachable, "{unreachable}");
    assert!(unreachable.message.contains("refused"), "{unreachable}");
}

#[tokio::test]
async fn a_full_disk_is_the_workers_fault_not_the_stores() {
    let trial = Trial::new().unwrap();
    let store = store(&trial).await;
    let key = format!("{}big.wav", trial.keys);
    store.put_bytes(&trial.settings.s3.bucket, &key, bytes(2 * MIB), "audio/wav").await.unwrap();
    let full = std::path::Path::new("/dev/full");
    let failure = store.fetch(&object(&trial, &key, None), full, 100 * MIB as u64).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::WorkerNoSpace, "{failure}");
    trial.end().await.unwrap();
}
