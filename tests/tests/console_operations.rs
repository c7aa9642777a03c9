//! The page of those who look after the fleet.

use anyhow::Result;
use domain::Emotion;
use domain::alert::Rulebook;
use reqwest::StatusCode;
use std::time::{Duration, Instant};
use tests::calls::Call;
use tests::console::Console;
use tests::fleet::Wish;

fn angry(key: &str) -> Call {
    let timeline = [(4.0, Emotion::Neutral, 0.9), (4.0, Emotion::Angry, 0.8)];
    let yesterday = chrono::Utc::now() - chrono::TimeDelta::days(1);
    Call::new(key).by("7", "a1", "c", &yesterday.to_rfc3339()).with_timeline(&timeline)
}

#[tokio::test]
async fn operations_show_waiting_jobs_and_failures_and_what_is_away() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let mut waiting = console.fleet.job(console.fleet.upload("w.wav", b"x".to_vec()).await?, Wish::default());
    waiting.call.team = Some("7".into());
    console.fleet.enqueue(&[waiting]).await?;
    let failed = angry("<i>bad</i>.wav");
    console.record(&Rulebook::default(), &[angry("done.wav"), failed.clone()]).await?;
    let fail = "UPDATE analyses SET status = 'failed', failure_code = 'audio.corrupt', failure_message = 'x' WHERE job_id = $1";
    sqlx::query(fail).bind(failed.job().job_id.0).execute(console.fleet.database.pool()).await?;
    let reader = console.token("reader", &["read"], None).await?;
    let text = console.page(&reader, "/operations").await?;
    for part in [
        "<strong>1</strong> <span>waiting</span>",
        "<strong>1</strong> <span>done</span>",
        "<strong>1</strong> <span>failed</span>",
        "The oldest waiting job has waited",
        "no worker takes them",
        "<code>audio.corrupt</code>",
        "The file is damaged. Export the recording again.",
        &format!("href=\"/recognise/{}\"", failed.job().job_id),
        "night</a>",
        "value=\"2\" max=\"2\"",
        "http-equiv=\"refresh\"",
        "Deliveries of alerts",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!text.contains("<i>bad"), "{text}");
    let bound = console.token("bound", &["read"], Some("7")).await?;
    assert_eq!(console.request_page(&bound, "/operations").await?.status(), StatusCode::FORBIDDEN);
    let blind = console.token("blind", &["predict"], None).await?;
    assert_eq!(console.request_page(&blind, "/operations").await?.status(), StatusCode::FORBIDDEN);

    // The broker is away: a sentence in its card, and the rest is there.
    let mut settings = console.fleet.trial.settings.clone();
    settings.amqp.url = "amqp://guest:guest@127.0.0.1:1/%2f".to_owned().into();
    let stop = tokio_util::sync::CancellationToken::new();
    let cut_off = console::serve(settings, stop.clone()).await?;
    let url = format!("http://127.0.0.1:{}/operations", cut_off.address.port());
    let answer =
        reqwest::Client::new().get(url).header("accept", "text/html").header("accept-language", "en").send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("The message broker does not answer") && text.contains("audio.corrupt"), "{text}");
    stop.cancel();
    cut_off.ended().await?;
    console.end().await
}

#[tokio::test]
async fn questions_that_take_too_long_are_ended_by_the_database_and_hold_up_nobody() -> Result<()> {
    let console = Console::without_worker(|settings| settings.postgres.max_connections = 2).await?;
    console.record(&Rulebook::default(), &[angry("a.wav")]).await?;
    let reader = console.token("reader", &["read"], None).await?;
    // Given a table that nobody can read for now
    let mut locked = console.fleet.database.begin().await?;
    sqlx::query("LOCK TABLE batches IN ACCESS EXCLUSIVE MODE").execute(&mut *locked).await?;
    let (page, begun) = (console.page(&reader, "/operations").await?, Instant::now());
    assert!(page.contains("The database does not answer"), "{page}");
    // Then the rest of the page is there, the console has its connections, and nothing waits for the table any more.
    assert!(page.contains("<strong>1</strong> <span>done</span>"), "{page}");
    console.page(&reader, "/calls").await?;
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'emofleet'";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *locked).await? > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "a question goes on in the database");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    locked.rollback().await?;
    console.end().await
}
