//! Requests that the console refuses whoever sends them: other hosts and sites, too many, too slow.

use anyhow::{Context, Result};
use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use settings::Login;
use std::time::Duration;
use tests::console::Console;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().expect("a client")
}

#[tokio::test]
async fn unknown_hosts_pages_of_other_sites_and_too_many_requests_are_refused() -> Result<()> {
    let console = Console::without_worker(|s| {
        s.console.requests_per_minute = 30;
        s.console.hosts = vec!["console.example.org".into()];
        s.console.login = Login::Never;
    })
    .await?;
    let host = async |name: &str| client().get(console.at("/api/v1/batches")).header("host", name).send().await;
    assert_eq!(host("evil.example").await?.status(), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(host("console.example.org").await?.status(), StatusCode::OK);
    let from =
        async |name: &'static str, value: &str| client().post(console.at("/logout")).header(name, value).send().await;
    assert_eq!(from("origin", "http://evil.example").await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(from("sec-fetch-site", "cross-site").await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(from("sec-fetch-site", "same-origin").await?.status(), StatusCode::SEE_OTHER);
    assert_eq!(from("origin", &console.url).await?.status(), StatusCode::SEE_OTHER);

    let page = client().get(console.at("/login")).send().await?;
    let policy = page.headers()["content-security-policy"].to_str()?;
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "no-referrer")]
    {
        assert_eq!(page.headers()[name], value);
    }
    // Ten attempts a minute from one address.
    let guess = [("name", "unknown"), ("password", "guess guess guess"), ("next", "/api")];
    let mut last = StatusCode::OK;
    // On a busy machine, more of them take more than a minute's share of time.
    for _ in 0..60 {
        last = client().post(console.at("/login")).form(&guess).send().await?.status();
        if last == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    let mut refused = None;
    for _ in 0..40 {
        let answer = client().get(console.at("/api/v1/batches")).send().await?;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
        }
    }
    let refused = refused.context("a limit")?;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.json::<Value>().await?["code"], "request.rate_limited");
    console.end().await
}

/// What a server sends on a connection that is sent this and nothing more, until it closes it or half a minute is over.
async fn slowly(console: &Console, sent: &str) -> Result<String> {
    let mut stream = TcpStream::connect(console.url.trim_start_matches("http://")).await?;
    stream.write_all(sent.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.context("held open")??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn connections_of_slow_strangers_are_closed() -> Result<()> {
    let console = Console::without_worker(|s| s.console.request_timeout_s = 1).await?;
    for head in ["", "GET / HTTP/1.1\r\nHost: localhost\r\n"] {
        let answer = slowly(&console, head).await?;
        assert!(answer.is_empty() || answer.contains("408"), "{answer}");
    }
    let form = "Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nname=";
    let job = uuid::Uuid::nil();
    for line in ["POST /login", &format!("PUT /api/v1/analyses/{job}/review")] {
        let form = form
            .replace("x-www-form-urlencoded", if line.starts_with("PUT") { "json" } else { "x-www-form-urlencoded" });
        let answer = slowly(&console, &format!("{line} HTTP/1.1\r\n{form}")).await?;
        assert!(answer.starts_with("HTTP/1.1 408"), "{line}: {answer}");
    }
    console.end().await
}

#[tokio::test]
async fn browsers_are_refused_by_a_page_in_their_language() -> Result<()> {
    let console = Console::without_worker(|s| s.console.requests_per_minute = 20).await?;
    let get =
        |path: &str| client().get(console.at(path)).header("accept", "text/html").header("accept-language", "zh-CN");
    let foreign = get("/").header("host", "evil.example").send().await?;
    assert_eq!(
        (foreign.status(), &foreign.headers()["content-type"]),
        (StatusCode::MISDIRECTED_REQUEST, &"text/html; charset=utf-8".parse()?)
    );
    let post =
        client().post(console.at("/logout")).header("accept", "text/html").header("sec-fetch-site", "cross-site");
    let page = post.header("accept-language", "zh-CN").send().await?;
    assert_eq!(page.status(), StatusCode::FORBIDDEN);
    assert!(page.text().await?.contains("request.origin"));
    // Links of alerts, and of pages whose address would be another host's.
    let job = uuid::Uuid::nil();
    let call = get(&format!("/calls/{job}?t=83")).send().await?;
    assert_eq!(call.headers()["location"], format!("/recognise/{job}?t=83"));
    let page = get("//evil.example/a?t=3").send().await?.text().await?;
    assert!(page.contains("href=\"?t=3&#38;lang=en\"") && !page.contains("href=\"//evil"), "{page}");
    let after_post = client().post(console.at("/recognise")).header("accept", "text/html").send().await?.text().await?;
    assert!(after_post.contains("href=\"/?lang=zh\""), "{after_post}");
    assert_eq!(
        client().get(console.at("/assets/nope.js")).send().await?.headers()["content-type"],
        "application/problem+json"
    );
    // More than a minute's worth.
    let mut refused = None;
    for _ in 0..40 {
        let answer = get("/login").send().await?;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.context("a limit")?;
    assert!(refused.headers().contains_key("retry-after"));
    let page = refused.text().await?;
    assert!(page.contains("request.rate_limited") && page.contains("秒后重试"), "{page}");
    // Who is still sending a file gets the answer, too.
    let mut last = StatusCode::OK;
    for _ in 0..40 {
        let form = Form::new().part("other", Part::bytes(vec![1; 8 << 20]).file_name("a.wav"));
        last = client().post(console.at("/recognise")).multipart(form).send().await?.status();
        if last == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    console.end().await
}
