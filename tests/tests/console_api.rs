//! `/api/v1`: lists with cursors, files with ranges, events, and the committed description.

use anyhow::{Context, Result};
use futures_util::StreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read;
use tests::console::Console;
use tests::speech;

#[tokio::test]
async fn a_call_can_be_read_in_all_its_parts() -> Result<()> {
    let console = Console::start().await?;
    let call = speech::call(48)?;
    let fields = [("granularity", "frame"), ("call_id", "c-7"), ("team", "七队"), ("agent", "a1")];
    let prediction = console.predict(call, &fields).await?;
    let this = prediction["links"]["self"].as_str().context("a link")?.to_owned();

    // The analysis, its recording and its call.
    let analysis = console.get(&this).await?;
    assert_eq!((&analysis["status"], &analysis["emotion"]), (&"done".into(), &prediction["emotion"]));
    assert_eq!(analysis["recording"]["team"], "七队");
    assert!((analysis["recording"]["duration_s"].as_f64().context("seconds")? - 48.0).abs() < 0.1);
    let recording = analysis["recording"]["id"].as_str().context("an id")?;
    assert_eq!(console.get(&format!("/api/v1/recordings/{recording}")).await?["call_id"], "c-7");
    assert_eq!(console.get("/api/v1/recordings?call_id=c-7").await?["items"][0]["id"], recording);
    assert_eq!(console.get("/api/v1/calls/c-7").await?["items"][0]["job_id"], analysis["job_id"]);
    let batch = analysis["batch_id"].as_str().context("a batch")?;
    assert_eq!(console.get(&format!("/api/v1/batches/{batch}")).await?["progress"]["done"], 1);
    assert_eq!(console.get("/api/v1/batches").await?["items"][0]["id"], batch);

    // The timeline, page by page, is the same as at once.
    let all = console.get(&format!("{this}/segments")).await?;
    let brief = |list: &Value| list.as_array().into_iter().flatten().map(brief).collect::<Vec<_>>();
    assert_eq!(brief(&all["items"]), brief(&prediction["segments"]));
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = console.get(&format!("{this}/segments?limit=1{after}")).await?;
        paged.extend(page["items"].as_array().cloned().unwrap_or_default());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(Some(&paged), all["items"].as_array());

    // Scores over time, all of them and means.
    let frames = console.get(&format!("{this}/frames")).await?;
    let rows = frames["rows"].as_array().context("rows")?;
    let speech_s: f64 = prediction["segments"]
        .as_array()
        .context("segments")?
        .iter()
        .filter_map(|s| Some(s["end_s"].as_f64()? - s["start_s"].as_f64()?))
        .sum();
    assert!((rows.len() as f64 / 50.0 - speech_s).abs() < 1.0, "{} rows, {speech_s} s", rows.len());
    let few = console.get(&format!("{this}/frames?points=50")).await?;
    assert!((20..=80).contains(&few["rows"].as_array().context("rows")?.len()));

    // The waveform has only the scored channel.
    let peaks = console.get(&format!("{this}/peaks")).await?;
    assert!((peaks["duration_s"].as_f64().context("seconds")? - 48.0).abs() < 0.1);
    assert_eq!(peaks["channels"].as_array().map(Vec::len), Some(1));
    let max: Vec<i64> =
        peaks["channels"][0]["max"].as_array().context("max")?.iter().filter_map(Value::as_i64).collect();
    assert!((1900..=2000).contains(&max.len()));
    // The customer is silent in the first half of each 24 seconds, and speaks in the second one.
    assert!(max[..300].iter().all(|m| *m <= 1) && max[600..].iter().any(|m| *m > 10));
    console.end().await
}

/// A segment in short, to the hundredth: the database keeps single precision.
fn brief(segment: &Value) -> String {
    let number = |key: &str| segment[key].as_f64().unwrap_or_default();
    let (start, end, confidence) = (number("start_s"), number("end_s"), number("confidence"));
    format!("{} {} {} {start:.2} {end:.2} {confidence:.2}", segment["channel"], segment["index"], segment["emotion"])
}

#[tokio::test]
async fn files_are_sent_whole_in_ranges_and_in_one_archive() -> Result<()> {
    let console = Console::start().await?;
    let client = Client::new();
    let prediction = console.predict(speech::encoded("a.wav", &["-ar", "16000"])?, &[]).await?;
    let link = |name: &str| prediction["links"][name].as_str().map(|path| console.at(path)).context("a link");
    let whole = client.get(link("audio")?).send().await?;
    let etag = whole.headers()["etag"].to_str()?.to_owned();
    assert_eq!(
        (whole.headers()["content-type"].to_str()?, whole.headers()["accept-ranges"].to_str()?),
        ("audio/wav", "bytes")
    );
    let whole = whole.bytes().await?;
    assert_eq!(&whole[..4], b"RIFF");

    let ranged = |range: &str| client.get(link("audio").unwrap_or_default()).header("range", range).send();
    let part = ranged("bytes=100-199").await?;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()["content-range"].to_str()?, format!("bytes 100-199/{}", whole.len()));
    assert_eq!(part.bytes().await?, whole.slice(100..200));
    assert_eq!(ranged("bytes=-10").await?.bytes().await?, whole.slice(whole.len() - 10..));
    let beyond = ranged("bytes=99999999-").await?;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.json::<Value>().await?["code"], "range.unsatisfiable");
    let known = client.get(link("audio")?).header("if-none-match", &etag).send().await?;
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    // Else a cache would take over `no-store` and forget the file.
    assert!(known.headers().contains_key("etag") && known.headers()["cache-control"] == "private, no-cache");

    let zip = client.get(link("zip")?).send().await?;
    let name = zip.headers()["content-disposition"].to_str()?.to_owned();
    let folder = name.split('"').nth(1).and_then(|name| name.strip_suffix(".zip")).context("a name")?.to_owned();
    assert!(folder.starts_with("outputs_2") && folder.len() == "outputs_YYYYMMDD_HHMMSS".len(), "{folder}");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip.bytes().await?))?;
    let names: BTreeSet<String> = archive.file_names().map(str::to_owned).collect();
    let wanted = ["processed_audio.wav", "result.json", "embedding.npy"].map(|file| format!("{folder}/{file}"));
    assert_eq!(names, BTreeSet::from(wanted));
    let mut audio = Vec::new();
    archive.by_name(&format!("{folder}/processed_audio.wav"))?.read_to_end(&mut audio)?;
    assert_eq!(audio, whole);
    // The audit trail has playing and downloading, once each.
    let rows = "SELECT count(*) FROM audit WHERE action = 'listen' AND who = 'local' AND job_id IS NOT NULL";
    assert_eq!(console.fleet.count(rows).await?, 1);
    assert_eq!(console.fleet.count("SELECT count(*) FROM audit WHERE action = 'download'").await?, 1);
    // A file that is read without its first byte is in it as well.
    let json = client.get(link("json")?).header("range", "bytes=1-").send().await?;
    assert_eq!(json.status(), StatusCode::PARTIAL_CONTENT);
    let rows = "SELECT count(*) FROM audit WHERE action = 'download' AND detail = 'result.json'";
    assert_eq!(console.fleet.count(rows).await?, 1);
    console.end().await
}

#[tokio::test]
async fn lists_continue_at_their_cursor_while_rows_are_added() -> Result<()> {
    let console = Console::start().await?;
    let wav = speech::encoded("a.wav", &["-ar", "16000"])?;
    for _ in 0..5 {
        console.predict(wav.clone(), &[("extract_embedding", "false")]).await?;
    }
    let first = console.get("/api/v1/analyses?limit=2&status=done").await?;
    console.predict(wav, &[]).await?;
    let (mut seen, mut next) = (ids(&first), first["next"].as_str().map(str::to_owned));
    while let Some(after) = next {
        let page = console.get(&format!("/api/v1/analyses?limit=2&status=done&after={after}")).await?;
        seen.extend(ids(&page));
        next = page["next"].as_str().map(str::to_owned);
    }
    // Each once, and not the one that was added meanwhile.
    assert_eq!(seen.len(), 5);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 5);
    assert_eq!(ids(&console.get("/api/v1/analyses?status=failed").await?).len(), 0);
    let all = console.get("/api/v1/analyses?from=-9999-01-01T00:00:00Z&to=%2B200000-01-01T00:00:00Z").await?;
    assert_eq!(ids(&all).len(), 6);
    for wrong in ["limit=0", "limit=1001", "after=x", "status=lost", "from=yesterday", "colour=red"] {
        let answer = Client::new().get(console.at(&format!("/api/v1/analyses?{wrong}"))).send().await?;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{wrong}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{wrong}");
    }
    console.end().await
}

fn ids(page: &Value) -> Vec<String> {
    page["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| Some(item["job_id"].as_str()?.to_owned()))
        .collect()
}

#[tokio::test]
async fn the_progress_of_a_job_is_sent_as_events() -> Result<()> {
    let mut console = Console::without_worker(|_| {}).await?;
    let form = Form::new().part("audio", Part::bytes(speech::encoded("a.wav", &["-ar", "16000"])?).file_name("a.wav"));
    let answer = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?
        .post(console.at("/recognise"))
        .multipart(form)
        .send()
        .await?;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let page = answer.headers()["location"].to_str()?.to_owned();
    let job = page.trim_start_matches("/recognise/").to_owned();
    let events = Client::new().get(console.at(&format!("/api/v1/analyses/{job}/events"))).send().await?;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    assert_eq!(events.headers()["x-accel-buffering"], "no");
    console.fleet.start_worker();
    let (mut text, mut body) = (String::new(), events.bytes_stream());
    while let Some(chunk) = body.next().await {
        text.push_str(std::str::from_utf8(&chunk?)?);
    }
    let stages: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str::<Value>(data).ok()?["stage"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(stages.first().map(String::as_str), Some("queued"), "{text}");
    assert!(text.contains("\"place\":1") && text.contains("event: done"), "{text}");
    assert_eq!(stages.last().map(String::as_str), Some("done"));
    console.end().await
}

#[tokio::test]
async fn the_committed_description_is_the_served_one() -> Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../console/openapi.json");
    if std::env::var_os("EMOFLEET_UPDATE_DESCRIPTION").is_some() {
        std::fs::write(path, console::openapi())?;
    }
    let committed = std::fs::read_to_string(path)?;
    let description: Value = serde_json::from_str(&committed)?;
    // The order of keys depends on what else is built along.
    assert!(
        description == serde_json::from_str::<Value>(&console::openapi())?,
        "run this test with EMOFLEET_UPDATE_DESCRIPTION=1, or `console openapi > console/openapi.json`, and look at the difference"
    );
    assert_eq!(description["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    Ok(())
}
