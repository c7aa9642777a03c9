//! The whole way: object in the store, message in the queue, worker, artifacts, rows.

use anyhow::{Context, Result};
use domain::report::ArtifactKind;
use domain::{ChannelLayout, Emotion, Granularity, JobId, Role};
use futures_util::TryStreamExt;
use reqwest::Method;
use sqlx::Row;
use std::collections::BTreeMap;
use tests::console::Console;
use tests::fleet::{Fleet, Wish};
use tests::speech;

const FORMATS: [(&str, &[&str]); 8] = [
    ("pcm.wav", &["-ar", "16000"]),
    ("mulaw.wav", &["-ar", "8000", "-c:a", "pcm_mulaw"]),
    ("speech.mp3", &["-ar", "44100", "-c:a", "libmp3lame"]),
    ("speech.m4a", &["-ar", "48000", "-c:a", "aac"]),
    ("speech.flac", &["-ar", "96000"]),
    ("vorbis.ogg", &["-ar", "44100", "-c:a", "libvorbis"]),
    ("speech.opus", &["-c:a", "libopus"]),
    ("speech.webm", &["-c:a", "libopus"]),
];

#[tokio::test]
async fn every_format_goes_the_whole_way() -> Result<()> {
    // given a fleet
    let fleet = Fleet::start().await?;
    for (name, options) in FORMATS {
        // when a recording of this format is enqueued
        let row = fleet.put_through(name, speech::encoded(name, options)?, Wish::default()).await?;
        // then its row is done, with scores that sum to one
        assert_eq!(
            row.get::<String, _>("status"),
            "done",
            "{name}: {:?}",
            row.get::<Option<String>, _>("failure_message")
        );
        let sum: f32 = Emotion::ALL.iter().map(|e| row.get::<f32, _>(format!("score_{e}").as_str())).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{name}: {sum}");
        // and the artifacts say the same
        let report = fleet.report(&row).await?;
        assert_eq!(report.emotion.map(Emotion::label), row.get::<Option<&str>, _>("emotion"), "{name}");
        assert!((report.audio.duration_s - 9.0).abs() < 3.0, "{name}: {} s", report.audio.duration_s);
        let wav = fleet.artifact(&row, "audio_key").await?;
        let seconds = (wav.len() - 44) as f64 / 32_000.0;
        assert!((seconds - report.audio.duration_s).abs() < 0.01, "{name}: {seconds} s of processed audio");
        let embedding = npy_shape(&fleet.artifact(&row, "embedding_key").await?);
        assert_eq!(embedding.len(), 1, "{name}");
        assert_eq!(row.get::<Vec<f32>, _>("embedding").len(), embedding[0], "{name}");
    }
    assert_eq!(fleet.count("SELECT count(*) FROM analyses").await?, FORMATS.len() as i64);
    fleet.end().await
}

#[tokio::test]
async fn one_mix_on_both_channels_is_scored_as_mixed_and_warned_of() -> Result<()> {
    let fleet = Fleet::start().await?;
    let (equal, inverted) = ("pan=stereo|c0=c0|c1=c0", "pan=stereo|c0=c0|c1=-0.7*c0");
    let call: ChannelLayout = "0=agent,1=customer".parse().map_err(anyhow::Error::msg)?;
    for (name, filter, channels) in
        [("equal.wav", equal, None), ("inverted.wav", inverted, None), ("named.wav", inverted, Some(call))]
    {
        let file = speech::encoded(name, &["-af", filter, "-ar", "8000"])?;
        let row = fleet.put_through(name, file, Wish { channels, ..Wish::default() }).await?;
        assert_eq!(row.get::<String, _>("status"), "done", "{name}");
        assert_eq!(row.get::<Vec<String>, _>("warnings"), ["channels.not_separated"], "{name}");
        let report = fleet.report(&row).await?;
        assert_eq!(report.warnings[0].channels, [0, 1], "{name}");
        let roles: Vec<_> = report.channels.iter().map(|c| (c.role, c.scored, c.segments.is_empty())).collect();
        assert_eq!(roles, [(Role::Mixed, false, true), (Role::Mixed, true, false)], "{name}");
    }
    for table in
        ["SELECT count(*) FROM channels WHERE role <> 'mixed'", "SELECT count(*) FROM segments WHERE role <> 'mixed'"]
    {
        assert_eq!(fleet.count(table).await?, 0, "{table}");
    }
    fleet.end().await
}

#[tokio::test]
async fn a_two_channel_call_gives_rows_for_both_and_scores_the_customer_alone() -> Result<()> {
    let fleet = Fleet::start().await?;
    let row = fleet.put_through("call.wav", speech::call(24)?, Wish::default()).await?;
    assert_eq!(row.get::<String, _>("status"), "done");
    let channels = sqlx::query("SELECT * FROM channels ORDER BY channel").fetch_all(fleet.database.pool()).await?;
    let facts: Vec<(i16, String, bool)> =
        channels.iter().map(|c| (c.get("channel"), c.get("role"), c.get("scored"))).collect();
    assert_eq!(facts, [(0, "agent".into(), false), (1, "customer".into(), true)]);
    assert_eq!(fleet.count("SELECT count(*) FROM segments WHERE role = 'agent'").await?, 0);
    // The customer speaks in the second half only.
    assert!(fleet.count("SELECT count(*) FROM segments WHERE role = 'customer' AND start_s > 11").await? > 0);
    assert_eq!(fleet.count("SELECT count(*) FROM segments WHERE end_s < 12").await?, 0);
    // Only the scored channel is kept as audio.
    let wav = fleet.artifact(&row, "audio_key").await?;
    assert_eq!(u16::from_le_bytes([wav[22], wav[23]]), 1, "channels of processed_audio.wav");
    fleet.end().await
}

#[tokio::test]
async fn the_agent_is_scored_when_the_operator_turned_that_on() -> Result<()> {
    let fleet = Fleet::start_with(|s| {
        s.analysis.score_roles.insert(Role::Agent);
    })
    .await?;
    let row = fleet.put_through("call.wav", speech::call(24)?, Wish::default()).await?;
    assert_eq!(row.get::<String, _>("status"), "done");
    assert!(fleet.count("SELECT count(*) FROM segments WHERE role = 'agent' AND channel = 0").await? > 0);
    assert!(fleet.count("SELECT count(*) FROM segments WHERE role = 'customer' AND channel = 1").await? > 0);
    fleet.end().await
}

#[tokio::test]
async fn frame_granularity_gives_nine_scores_fifty_times_a_second() -> Result<()> {
    let fleet = Fleet::start().await?;
    let wish = Wish { granularity: Granularity::Frame, ..Wish::default() };
    let row = fleet.put_through("a.wav", speech::encoded("a.wav", &[])?, wish).await?;
    let report = fleet.report(&row).await?;
    let series = report.frames.as_ref().expect("frames were asked for");
    let frames: usize = series.segments.iter().map(|s| s.scores.len()).sum();
    let speech_s: f64 = report.channels[0].speech_s;
    assert!((frames as f64 / 50.0 - speech_s).abs() < 0.1 * report.channels[0].segments.len() as f64 + 0.05);
    for scores in series.segments.iter().flat_map(|s| &s.scores) {
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }
    let shape = npy_shape(&fleet.artifact(&row, "embedding_key").await?);
    assert_eq!(shape, [frames, row.get::<Vec<f32>, _>("embedding").len()]);
    fleet.end().await
}

#[tokio::test]
async fn call_data_becomes_columns() -> Result<()> {
    let fleet = Fleet::start().await?;
    let mut wish = Wish::default();
    wish.call.call_id = Some("c-7".into());
    wish.call.team = Some("七队".into());
    wish.call.started_at = Some("2026-11-02T08:15:30Z".parse()?);
    wish.call.attributes = BTreeMap::from([("vip".into(), "true".into())]);
    fleet.put_through("通话 1 (a+b).wav", speech::encoded("a.wav", &[])?, wish).await?;
    let row =
        sqlx::query("SELECT *, attributes->>'vip' AS vip FROM recordings").fetch_one(fleet.database.pool()).await?;
    assert_eq!(row.get::<String, _>("call_id"), "c-7");
    assert_eq!(row.get::<String, _>("team"), "七队");
    assert_eq!(row.get::<String, _>("vip"), "true");
    assert!(row.get::<String, _>("key").ends_with("通话 1 (a+b).wav"));
    assert_eq!(row.get::<chrono::DateTime<chrono::Utc>, _>("started_at").to_rfc3339(), "2026-11-02T08:15:30+00:00");
    fleet.end().await
}

#[tokio::test]
async fn ten_minutes_of_a_call_become_a_timeline() -> Result<()> {
    let fleet = Fleet::start().await?;
    let row = fleet.put_through("long.wav", speech::call(600)?, Wish::default()).await?;
    assert_eq!(row.get::<String, _>("status"), "done");
    let report = fleet.report(&row).await?;
    assert!((report.audio.duration_s - 600.0).abs() < 0.1);
    let customer = &report.channels[1];
    assert!((150.0..300.0).contains(&customer.speech_s), "{} s of speech", customer.speech_s);
    assert!(customer.segments.iter().all(|s| s.duration_s() <= 30.0));
    assert!(customer.segments.windows(2).all(|pair| pair[0].end_s <= pair[1].start_s + 1e-6));
    let rows = fleet.count("SELECT count(*) FROM segments").await?;
    assert_eq!(rows, customer.segments.len() as i64);
    fleet.end().await
}

#[tokio::test]
async fn the_same_job_five_times_is_one_row() -> Result<()> {
    let fleet = Fleet::start().await?;
    let job = fleet.job(fleet.upload("a.wav", speech::encoded("a.wav", &[])?).await?, Wish::default());
    // Published past the producer's own check, so that the worker meets it five times.
    for _ in 0..5 {
        fleet.publisher.publish_job(&job, adapters::amqp::Lane::Bulk).await?;
    }
    fleet.ended(job.job_id).await?;
    let last = fleet.put_through("b.wav", speech::encoded("b.wav", &["-ar", "8000"])?, Wish::default()).await?;
    assert_eq!(last.get::<String, _>("status"), "done");
    assert_eq!(fleet.count("SELECT count(*) FROM analyses").await?, 2);
    assert_eq!(fleet.count("SELECT count(*) FROM recordings").await?, 2);
    assert_eq!(
        fleet
            .count("SELECT count(*) FROM segments s GROUP BY job_id, channel, segment ORDER BY 1 DESC LIMIT 1")
            .await?,
        1
    );
    fleet.end().await
}

#[tokio::test]
async fn artifacts_that_are_left_out_are_neither_stored_nor_offered() -> Result<()> {
    // given a fleet that keeps no second copy of the voices, and a console
    let only_results = |settings: &mut settings::Settings| {
        settings.analysis.artifacts = [ArtifactKind::Result].into();
    };
    let mut console = Console::without_worker(only_results).await?;
    console.fleet.start_worker();
    console.worker_ready().await?;
    // when a recording is analysed, with frames and an embedding
    let fields = [("granularity", "frame"), ("extract_embedding", "true")];
    let answer = console.predict(speech::encoded("a.wav", &["-ar", "16000"])?, &fields).await?;
    // then the store has its result alone, and nothing else is named
    let links = answer["links"].as_object().context("links")?;
    assert!(!links.contains_key("audio") && !links.contains_key("npy"), "{links:?}");
    let job = answer["job_id"].as_str().context("a job")?.to_owned();
    let settings = &console.fleet.trial.settings.s3;
    let folder = settings.artifact_folder(JobId(job.parse()?));
    let stored: Vec<_> = console.fleet.store.list(settings.artifact_bucket(), &folder).try_collect().await?;
    let stored: Vec<_> = stored.iter().map(|object| object.key.strip_prefix(&folder)).collect();
    assert_eq!(stored, [Some("result.json")]);
    // and the page has no player, but all else
    let page = console.request(Method::GET, &format!("/recognise/{job}"), None).await?.text().await?;
    assert!(page.contains("analysis.artifacts") && !page.contains("<audio"), "{page}");
    assert!(page.contains("id=\"frames\""), "{page}");
    for (part, status) in [("artifacts/wav", 404), ("peaks", 404), ("artifacts/json", 200), ("artifacts.zip", 200)] {
        let answer = console.request(Method::GET, &format!("/api/v1/analyses/{job}/{part}"), None).await?;
        assert_eq!(answer.status().as_u16(), status, "{part}");
    }
    console.end().await
}

/// The shape in a `.npy` file's header, which `numpy.load` goes by.
fn npy_shape(file: &[u8]) -> Vec<usize> {
    assert_eq!(&file[..6], b"\x93NUMPY");
    let header =
        String::from_utf8_lossy(&file[10..10 + usize::from(u16::from_le_bytes([file[8], file[9]]))]).into_owned();
    assert!(header.contains("'<f4'"), "{header}");
    let inside =
        header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inside, _)| inside);
    inside.split(',').filter_map(|number| number.trim().parse().ok()).collect()
}
