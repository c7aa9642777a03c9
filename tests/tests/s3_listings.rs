//! Listings and refusals of stores that differ from AWS, answered by a server of this test.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::s3::Store;
use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use domain::{Failure, FailureCode};
use futures_util::TryStreamExt;
use tests::trial::Trial;

/// A store that answers every request by this function of its query.
async fn store(answer: fn(&str) -> (u16, String)) -> Store {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let respond = move |RawQuery(query): RawQuery| async move {
        let (status, body) = answer(&query.unwrap_or_default());
        (StatusCode::from_u16(status).unwrap(), [(CONTENT_TYPE, "application/xml")], body)
    };
    let router = Router::new().fallback(respond);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut settings = Trial::new().unwrap().settings.s3;
    settings.endpoint = format!("http://{address}");
    Store::new(&settings).unwrap()
}

fn page(keys: &[&str], more: &str) -> (u16, String) {
    let contents = |key: &&str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
    let keys = keys.iter().map(contents).collect::<Vec<_>>().concat();
    (200, format!("<ListBucketResult><Name>b</Name>{more}{keys}</ListBucketResult>"))
}

async fn keys(store: &Store) -> Result<Vec<String>, Failure> {
    store.list("b", "").map_ok(|object| object.key).try_collect().await
}

#[tokio::test]
async fn a_listing_that_is_cut_off_without_a_token_goes_on_behind_its_last_key() {
    let store = store(|query| {
        if query.contains("start-after=b%2B") {
            page(&["c"], "<IsTruncated>false</IsTruncated>")
        } else {
            page(&["a", "b%2B"], "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>")
        }
    });
    assert_eq!(keys(&store.await).await.unwrap(), ["a", "b+", "c"]);
}

#[tokio::test]
async fn a_listing_that_goes_in_circles_is_an_error() {
    let ignores_start = store(|_| page(&["a", "b"], "<IsTruncated>true</IsTruncated>")).await;
    let same_token =
        store(|_| page(&["a"], "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"))
            .await;
    for (store, said) in [(ignores_start, "ignores where to start"), (same_token, "same token")] {
        let failure = keys(&store).await.unwrap_err();
        assert!(failure.code == FailureCode::StoreRefused && failure.message.contains(said), "{failure}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_as_what_it_is() {
    for (answer, code) in [
        ((400, "<Error><Code>InvalidURI</Code></Error>"), FailureCode::StoreRefused),
        ((400, "<Error><Code>ExpiredToken</Code></Error>"), FailureCode::StoreDenied),
        ((403, "<Error><Code>AccessDenied</Code></Error>"), FailureCode::StoreDenied),
    ] {
        let store = match answer {
            (400, "<Error><Code>InvalidURI</Code></Error>") => {
                store(|_| (400, "<Error><Code>InvalidURI</Code></Error>".into())).await
            }
            (400, _) => store(|_| (400, "<Error><Code>ExpiredToken</Code></Error>".into())).await,
            _ => store(|_| (403, "<Error><Code>AccessDenied</Code></Error>".into())).await,
        };
        let failure = store.get_bytes("b", "k", 10).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(&answer.0.to_string()), "{failure}");
    }
}
