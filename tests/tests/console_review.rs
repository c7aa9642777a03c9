//! The pages on which people review calls and look after the fleet.

use adapters::postgres::console::LOW_CONFIDENCE;
use anyhow::{Context, Result};
use chrono::{TimeDelta, Utc};
use domain::Emotion;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use tests::calls::Call;
use tests::console::Console;

const RULES: &str = r#"
[[rule]]
name = "customer-angry"
severity = "critical"
when = { role = "customer", emotion = "angry", score = 0.6, in_a_row = 2 }
group_by = "customer"
"#;

fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().expect("a client")
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    rest.split('"').next().map(str::to_owned)
}

/// The analysis that a page is about.
fn job(page: &str) -> Option<&str> {
    page.split_once("action=\"/review/").and_then(|(_, rest)| rest.split('"').next())
}

/// Sends the form of a page; follows it to the next page.
async fn send(console: &Console, token: &str, page_text: &str, fields: &[(&str, &str)]) -> Result<String> {
    let job = job(page_text).context("a form")?;
    let mut form: Vec<(&str, String)> = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    form.extend(["seen", "after"].iter().filter_map(|name| Some((*name, hidden(page_text, name)?))));
    let post = client().post(console.at(&format!("/review/{job}"))).bearer_auth(token).form(&form);
    let answer = post.header("accept", "text/html").send().await?;
    let (status, next) = (answer.status(), answer.headers().get("location").cloned());
    anyhow::ensure!(status == StatusCode::SEE_OTHER, "{status} {}", answer.text().await?);
    console.page(token, next.context("a location")?.to_str()?).await
}

fn call(key: &str, team: &str, days: i64, timeline: &[(f64, Emotion, f32)]) -> Call {
    let at = (Utc::now() - TimeDelta::days(days)).to_rfc3339();
    Call::new(key).by(team, "a1", &format!("of-{key}"), &at).with_timeline(timeline)
}

fn angry(key: &str, team: &str) -> Call {
    call(key, team, 1, &[(4.0, Emotion::Neutral, 0.9), (4.0, Emotion::Angry, 0.8), (4.0, Emotion::Angry, 0.7)])
}

fn unsure(key: &str, team: &str, days: i64) -> Call {
    call(key, team, days, &[(4.0, Emotion::Sad, 0.45), (4.0, Emotion::Sad, 0.4)])
}

fn sure(key: &str) -> Call {
    call(key, "7", 1, &[(4.0, Emotion::Happy, 0.9)])
}

async fn record(console: &Console, calls: &[Call]) -> Result<()> {
    console.record(&settings::alert_file::parse(RULES)?, calls).await
}

const REVIEWER: [&str; 3] = ["read", "listen", "review"];

#[tokio::test]
async fn calls_with_alerts_come_first_then_unsure_ones_until_all_are_reviewed() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let calls = [
        sure("sure.wav"),
        unsure("old.wav", "7", 40),
        unsure("u1.wav", "7", 3),
        unsure("u2.wav", "7", 2),
        angry("a1.wav", "7"),
        angry("a2.wav", "7"),
    ];
    record(&console, &calls).await?;
    let rita = console.token("rita", &REVIEWER, None).await?;

    // Skipped, each is shown once, in order: the newest alert first.
    let (mut path, mut seen) = ("/review".to_owned(), Vec::new());
    loop {
        let text = console.page(&rita, &path).await?;
        let Some(job) = job(&text).map(str::to_owned) else {
            assert!(text.contains("The end of the queue") && text.contains("href=\"/review\""), "{text}");
            break;
        };
        seen.push(job);
        path = text
            .split_once("id=\"skip\" href=\"")
            .and_then(|(_, rest)| rest.split('"').next())
            .context("skip")?
            .to_owned();
    }
    let expected: Vec<String> = [5, 4, 3, 2].map(|i: usize| calls[i].job().job_id.to_string()).to_vec();
    assert_eq!(seen, expected);

    // The first: why, where, and the audio from that second on.
    let first = console.page(&rita, "/review").await?;
    assert!(first.contains("4 calls left") && first.contains("a2.wav") && first.contains("customer-angry"), "{first}");
    assert!(first.contains("2 segments in a row from 0:04"), "{first}");
    assert!(
        first.contains("name=\"about\" value=\"1.1\" data-note=\"\" checked")
            && first.contains("artifacts/wav#t=4.5\""),
        "{first}"
    );
    assert_eq!(first.matches("⚠ Alert</strong>").count(), 2, "both segments are marked");

    // What is saved is gone from the queue, and can be opened again.
    let second =
        send(&console, &rita, &first, &[("emotion", "sad"), ("about", "1.1"), ("note", "she\r\ncries")]).await?;
    assert!(
        second.contains("Saved: 😢 sad · a2") && second.contains("3 calls left") && second.contains("a1.wav"),
        "{second}"
    );
    let row =
        "SELECT count(*) FROM reviews WHERE reviewer = 'token:rita' AND emotion = 'sad' AND model_emotion = 'angry'
        AND channel = 1 AND segment = 1 AND note = 'she cries'";
    assert_eq!(console.fleet.count(row).await?, 1);
    let third = send(&console, &rita, &second, &[("emotion", "angry"), ("about", "")]).await?;
    assert!(third.contains("u2.wav") && third.contains("Low confidence") && third.contains("42.5 %"), "{third}");
    let fourth = send(&console, &rita, &third, &[("emotion", "unknown")]).await?;
    assert!(fourth.contains("1 call left") && fourth.contains("u1.wav"), "{fourth}");
    let last = send(&console, &rita, &fourth, &[("emotion", "neutral")]).await?;
    assert!(last.contains("The end of the queue"), "{last}");
    assert!(console.page(&rita, "/review").await?.contains("Nothing to review"));

    // The review stands beside the prediction: here, and on its own page.
    let again = console.page(&rita, &format!("/review/{}", calls[5].job().job_id)).await?;
    assert!(
        again.contains("rita (program)") && again.contains("≠ the model predicted 😠 angry") && again.contains("cries"),
        "{again}"
    );
    console.end().await
}

#[tokio::test]
async fn two_reviewers_of_one_call_keep_both_reviews_and_go_on() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let calls = [unsure("next.wav", "7", 3), angry("a1.wav", "7")];
    record(&console, &calls).await?;
    let (rita, otto) = (console.token("rita", &REVIEWER, None).await?, console.token("otto", &REVIEWER, None).await?);
    let (hers, his) = (console.page(&rita, "/review").await?, console.page(&otto, "/review").await?);
    assert_eq!(job(&hers), job(&his));
    send(&console, &rita, &hers, &[("emotion", "angry")]).await?;
    let next = send(&console, &otto, &his, &[("emotion", "sad")]).await?;
    assert!(next.contains("rita (program) (😠 angry) reviewed this call as well. Both reviews are kept."), "{next}");
    assert!(next.contains("next.wav"), "{next}");
    assert_eq!(console.fleet.count("SELECT count(DISTINCT reviewer) FROM reviews").await?, 2);

    // Under one name in two windows: the one that is stored stays, unless it was shown.
    let stale = send(&console, &otto, &his, &[("emotion", "happy")]).await?;
    assert!(stale.contains("yours was not saved") && stale.contains("😢 sad"), "{stale}");
    let same = send(&console, &otto, &his, &[("emotion", "sad")]).await?;
    assert!(same.contains("Saved: 😢 sad"), "the same twice is no conflict: {same}");
    let shown = console.page(&otto, &format!("/review/{}", calls[1].job().job_id)).await?;
    send(&console, &otto, &shown, &[("emotion", "happy")]).await?;
    assert_eq!(
        console.fleet.count("SELECT count(*) FROM reviews WHERE reviewer = 'token:otto' AND emotion = 'happy'").await?,
        1
    );

    // Deleted meanwhile: a sentence and the next call.
    sqlx::query("DELETE FROM recordings WHERE key = 'a1.wav'").execute(console.fleet.database.pool()).await?;
    let gone = send(&console, &rita, &hers, &[("emotion", "sad")]).await?;
    assert!(gone.contains("is not there any more") && gone.contains("next.wav"), "{gone}");
    console.end().await
}

#[tokio::test]
async fn a_comment_belongs_to_what_it_is_about_and_stays_when_the_emotion_is_changed() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let call = angry("a1.wav", "7");
    record(&console, std::slice::from_ref(&call)).await?;
    let rita = console.token("rita", &REVIEWER, None).await?;
    let path = format!("/review/{}", call.job().job_id);
    let first = console.page(&rita, &path).await?;
    let about =
        first.split_once(" asked\"").and_then(|(_, rest)| hidden(rest, "about")).context("a segment in question")?;
    send(&console, &rita, &first, &[("emotion", "sad"), ("about", &about), ("note", "on the segment")]).await?;
    let second = console.page(&rita, &path).await?;
    // The segment is chosen again, with its comment, which the form sends back with another emotion.
    assert!(second.contains(">on the segment</textarea>"), "{second}");
    assert!(second.contains(&format!("value=\"{about}\" data-note=\"on the segment\" checked")), "{second}");
    assert!(second.contains("name=\"about\" value=\"\" data-note=\"\""), "it is not the call's: {second}");
    send(&console, &rita, &second, &[("emotion", "fearful"), ("about", &about), ("note", "on the segment")]).await?;
    let kept =
        "SELECT count(*) FROM reviews WHERE emotion = 'fearful' AND note = 'on the segment' AND segment IS NOT NULL";
    assert_eq!(console.fleet.count(kept).await?, 1);

    // More than a page of reviews by others does not hide one's own.
    let many = "INSERT INTO reviews (job_id, reviewer, emotion) SELECT job_id, 'r' || n, 'sad' FROM analyses, generate_series(1, 150) n";
    sqlx::raw_sql(many).execute(console.fleet.database.pool()).await?;
    let third = console.page(&rita, &path).await?;
    send(&console, &rita, &third, &[("emotion", "angry"), ("about", &about), ("note", "again")]).await?;
    assert_eq!(
        console.fleet.count("SELECT count(*) FROM reviews WHERE emotion = 'angry' AND note = 'again'").await?,
        1
    );

    // Analysed again by another job, the recording is still one that was reviewed.
    let calls: serde_json::Value = console.request_page(&rita, "/api/v1/calls").await?.json().await?;
    assert_eq!(calls["items"][0]["reviews"], 151, "{calls}");
    let again = "INSERT INTO analyses (job_id, recording_id, called_at, status, model_name, submitted_at, finished_at)
        SELECT gen_random_uuid(), recording_id, called_at, 'done', 'other', now(), now() FROM analyses";
    sqlx::raw_sql(again).execute(console.fleet.database.pool()).await?;
    let calls: serde_json::Value = console.request_page(&rita, "/api/v1/calls").await?.json().await?;
    assert_eq!(calls["items"][0]["reviews"], 151, "{calls}");
    console.end().await
}

#[tokio::test]
async fn a_review_that_comes_too_late_or_too_early_is_told_so() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let call = angry("a1.wav", "7");
    record(&console, std::slice::from_ref(&call)).await?;
    let (rita, path) = (console.token("rita", &REVIEWER, None).await?, format!("/review/{}", call.job().job_id));
    // The session has ended: after the login, the reader is where she was, and reads that nothing was saved.
    let (mut settings, stop) = (console.fleet.trial.settings.clone(), tokio_util::sync::CancellationToken::new());
    settings.console.login = settings::Login::Always;
    let locked = console::serve(settings, stop.clone()).await?;
    let post = client().post(format!("http://{}{path}", locked.address)).header("accept", "text/html");
    let login = post.form(&[("emotion", "sad")]).send().await?.headers()["location"].to_str()?.to_owned();
    stop.cancel();
    locked.ended().await?;
    let (_, next) = login.split_once("next=").context("an address")?;
    let next = url::form_urlencoded::parse(format!("n={next}").as_bytes()).next().context("a value")?.1.into_owned();
    assert_eq!(next, format!("{path}?unsaved=1"));
    assert!(console.page(&rita, &next).await?.contains("Your review was not saved"));

    // Refused for another reason, nothing is said of a session.
    let unknown = client().post(console.at(&path)).header("accept", "text/html").form(&[("emotion", "bored")]);
    assert!(!unknown.send().await?.text().await?.contains("unsaved"));

    let queued = unsure("later.wav", "7", 1).job();
    console.fleet.database.register(&tests::calls::batch("night"), std::slice::from_ref(&queued), false).await?;
    let refused = console.request_page(&rita, &format!("/review/{}", queued.job_id)).await?;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert!(refused.text().await?.contains("has no result to review"));
    console.end().await
}

#[tokio::test]
async fn reviewers_see_their_team_and_others_are_refused() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let calls = [angry("of7.wav", "7"), angry("of8.wav", "8"), unsure("u8.wav", "8", 2)];
    record(&console, &calls).await?;
    let eight = console.token("eight", &REVIEWER, Some("8")).await?;
    let first = console.page(&eight, "/review").await?;
    assert!(first.contains("of8.wav") && first.contains("2 calls left") && !first.contains("of7.wav"), "{first}");
    let foreign = format!("/review/{}", calls[0].job().job_id);
    assert_eq!(console.request_page(&eight, &foreign).await?.status(), StatusCode::NOT_FOUND);
    // What a forged address says is read again: nothing of another team.
    let forged = console.page(&eight, &format!("/review?saved={}&kept={0}", calls[0].job().job_id)).await?;
    assert!(!forged.contains("of7") && !forged.contains("Saved"), "{forged}");
    assert_eq!(console.request_page(&eight, "/review?after=x").await?.status(), StatusCode::BAD_REQUEST);

    for (name, scopes) in [("viewer", ["read", "listen"]), ("blind", ["review", "predict"])] {
        let token = console.token(name, &scopes, None).await?;
        for path in ["/review", &foreign] {
            let refused = console.request_page(&token, path).await?;
            assert_eq!(refused.status(), StatusCode::FORBIDDEN);
            let text = refused.text().await?;
            assert!(text.contains("Your role does not allow this") && text.contains("<html"), "{text}");
        }
        let post = client().post(console.at(&foreign)).bearer_auth(&token).form(&[("emotion", "sad")]).send().await?;
        assert_eq!(post.status(), StatusCode::FORBIDDEN);
    }
    // A page of another site can't review.
    let post = client().post(console.at(&foreign)).header("sec-fetch-site", "cross-site").header("accept", "text/html");
    let refused = post.form(&[("emotion", "sad")]).send().await?;
    assert_eq!((refused.status(), refused.text().await?.contains("request.origin")), (StatusCode::FORBIDDEN, true));
    let bad = client().post(console.at(&foreign)).form(&[("emotion", "bored")]).send().await?;
    assert_eq!(bad.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(console.fleet.count("SELECT count(*) FROM reviews").await?, 0);
    console.end().await
}

#[tokio::test]
async fn hostile_call_data_and_comments_are_shown_as_text() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let mut call = angry("x\u{202e}<script>alert(1)</script>.wav", "<b>7</b>");
    call.data.customer = Some("\u{1b}[31m\"><img src=x>".into());
    record(&console, &[call]).await?;
    let rita = console.token("rita", &REVIEWER, None).await?;
    let text = console.page(&rita, "/review").await?;
    for raw in ["<script>alert", "<b>7", "<img", "\u{202e}", "\u{1b}"] {
        assert!(!text.contains(raw), "{raw:?} in {text}");
    }
    assert!(text.contains("␛[31m") && text.contains("u{202e}"), "{text}");
    send(&console, &rita, &text, &[("emotion", "sad"), ("note", "</textarea><script>x</script>\u{202e}")]).await?;
    let again = console.page(&rita, &format!("/review/{}", job(&text).context("a job")?)).await?;
    assert!(!again.contains("<script>x") && !again.contains("</textarea><"), "{again}");
    console.end().await
}

#[tokio::test]
async fn the_queue_is_served_by_indexes_and_knows_one_threshold() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let pool = console.fleet.database.pool();
    let index: String =
        sqlx::query_scalar("SELECT pg_get_indexdef('analyses_unsure'::regclass)").fetch_one(pool).await?;
    assert!(index.contains(&format!("confidence < ({LOW_CONFIDENCE}")), "{index}");
    // 30,000 calls of 60 days, a tenth of them unsure, and a thousand alerts.
    sqlx::raw_sql(
        "INSERT INTO recordings (id, bucket, key, team)
            SELECT gen_random_uuid(), 'b', 'k' || n, (n % 20)::text FROM generate_series(1, 30000) n;
        INSERT INTO analyses (job_id, recording_id, called_at, status, emotion, confidence, score_angry, model_name, submitted_at,
                finished_at, speech_s)
            SELECT gen_random_uuid(), id, now() - random() * interval '60 days', 'done', 'sad',
                   CASE WHEN random() < 0.1 THEN 0.4 ELSE 0.8 END, 0.1, 'm', now(), now(), 5 FROM recordings;
        INSERT INTO channels (job_id, channel, called_at, recording_id, scored, role)
            SELECT job_id, 0, called_at, recording_id, true, 'speaker' FROM analyses;
        INSERT INTO alerts (job_id, called_at, rule, severity, group_key, fired_at)
            SELECT job_id, called_at, 'r', 'warning', 'g', called_at FROM analyses ORDER BY job_id LIMIT 1000;
        INSERT INTO reviews (job_id, reviewer, emotion) SELECT job_id, 'rita', 'sad' FROM analyses ORDER BY called_at DESC LIMIT 5000;
        ANALYZE",
    )
    .execute(pool)
    .await?;
    let sql = include_str!("../../crates/adapters/src/postgres/console/review_queue.sql");
    for team in ["NULL", "'7'"] {
        let (end, max) = ("'9999-12-31'::timestamptz", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid");
        let mut query =
            format!("EXPLAIN (ANALYZE, BUFFERS) {sql}").replace("$1", "now() - interval '30 days'").replace("$2", team);
        for (name, value) in [("$3", end), ("$4", max), ("$5", end), ("$6", max), ("$7", "105")] {
            query = query.replace(name, value);
        }
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(pool).await?;
        let plan = plan.join("\n");
        println!("{plan}\n");
        assert!(plan.contains("alerts_by_time") && plan.contains("analyses_unsure"), "{plan}");
        assert!(!plan.contains("Seq Scan on analyses") && !plan.contains("Seq Scan on channels"), "{plan}");
    }
    console.end().await
}
