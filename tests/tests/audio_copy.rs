//! The audio copy in each format: stored, named, played, drawn, downloaded and deleted alike.

use anyhow::{Context, Result, ensure};
use domain::JobId;
use domain::report::Report;
use futures_util::TryStreamExt;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use speech::artifacts::AudioFormat;
use sqlx::Row;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::process::{Command, Stdio};
use tests::console::Console;
use tests::fleet::{Fleet, Wish};

/// What ffmpeg decodes, as PCM of 16 bits: a decoder that is not ours.
fn decoded(file: &[u8]) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("copy");
    std::fs::write(&path, file)?;
    let ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(&path)
        .args(["-f", "s16le", "-c:a", "pcm_s16le", "-"])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(ffmpeg.status.success(), "ffmpeg refuses it");
    Ok(ffmpeg.stdout)
}

/// Names of the artifacts of a job.
async fn stored(fleet: &Fleet, job: JobId) -> Result<BTreeSet<String>> {
    let s3 = &fleet.trial.settings.s3;
    let folder = s3.artifact_folder(job);
    let objects: Vec<_> = fleet.store.list(s3.artifact_bucket(), &folder).try_collect().await?;
    Ok(objects.iter().map(|object| object.key.trim_start_matches(&folder).to_owned()).collect())
}

fn named<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// The whole file under a link of the prediction, and its content type.
async fn file(console: &Console, path: &str) -> Result<(Vec<u8>, String)> {
    let answer = Client::new().get(console.at(path)).send().await?.error_for_status()?;
    let kind = answer.headers()["content-type"].to_str()?.to_owned();
    Ok((answer.bytes().await?.to_vec(), kind))
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no {pointer} in {value}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_both_formats_are_played_drawn_downloaded_and_deleted_alike() -> Result<()> {
    // Given a recording that was analysed before the setting was changed, and one after
    let mut console = Console::without_worker(|_| {}).await?;
    console.fleet.start_worker();
    console.worker_ready().await?;
    let call = tests::speech::call(48)?;
    let before = console.predict(call.clone(), &[("call_id", "before")]).await?;
    console.fleet.stop_worker().await?;
    console.fleet.trial.settings.analysis.audio_format = AudioFormat::Flac;
    console.fleet.start_worker();
    console.worker_ready().await?;
    let after = console.predict(call, &[("call_id", "after")]).await?;
    // Then each has its own format, and names it
    let mut copies = Vec::new();
    for (answer, format) in [(&before, AudioFormat::Wav), (&after, AudioFormat::Flac)] {
        let (label, name) = (format.label(), format.file_name());
        let job = JobId(text(answer, "/job_id")?.parse()?);
        let this = format!("/api/v1/analyses/{job}");
        let audio = text(answer, "/links/audio")?;
        assert_eq!(audio, format!("{this}/artifacts/{label}"));
        assert_eq!(stored(&console.fleet, job).await?, named([name, "embedding.npy", "result.json"]));
        let report = console.get(&format!("{this}/artifacts/json")).await?;
        assert_eq!(report["processed_audio"], serde_json::json!({ "file": name }));
        let (whole, kind) = file(&console, audio).await?;
        assert_eq!(kind, format.content_type());
        // Under the address that does not depend on the format as well
        assert_eq!(file(&console, &format!("{this}/artifacts/audio")).await?, (whole.clone(), kind));
        for other in AudioFormat::ALL.iter().filter(|other| **other != format) {
            let path = format!("{this}/artifacts/{}", other.label());
            let answer = console.request(Method::GET, &path, None).await?;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            let problem: Value = answer.json().await?;
            assert!(text(&problem, "/detail")?.contains(&format!("artifacts/{label}")), "{problem}");
        }
        // In ranges, as players read it
        let part = Client::new().get(console.at(audio)).header("range", "bytes=1000-1999").send().await?;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.bytes().await?, whole[1000..2000]);
        // In the archive
        let (zip, _) = file(&console, text(answer, "/links/zip")?).await?;
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip))?;
        let inside = archive.file_names().find(|file| file.ends_with(name)).context("no audio")?.to_owned();
        let mut archived = Vec::new();
        archive.by_name(&inside)?.read_to_end(&mut archived)?;
        assert!(archived == whole, "the archive has other bytes");
        // On the page
        let page = console.request(Method::GET, text(answer, "/links/page")?, None).await?.text().await?;
        assert!(page.contains(&format!("download=\"{name}\"")) && page.contains(&format!("src=\"{audio}\"")), "{page}");
        copies.push((whole, console.get(&format!("{this}/peaks")).await?, job));
    }
    // And both have the same sound and the same waveform, in fewer bytes
    let [(wav, waves, first), (flac, flaws, second)] = copies.as_slice() else { anyhow::bail!("two copies") };
    let samples = decoded(flac)?;
    assert!(samples.len() > 32_000 * 40 && samples == decoded(wav)?, "{} bytes of samples", samples.len());
    assert!(flac.len() * 2 < wav.len(), "{} of {} bytes", flac.len(), wav.len());
    assert!(waves["channels"][0]["max"].as_array().is_some_and(|points| points.len() > 1900), "{waves}");
    assert_eq!(waves, flaws);
    // When the calls are deleted, then nothing of either is left
    for (call, job) in [("before", first), ("after", second)] {
        let deleted = console.request(Method::DELETE, &format!("/api/v1/calls/{call}"), None).await?;
        assert_eq!(deleted.status(), StatusCode::OK);
        assert_eq!(stored(&console.fleet, *job).await?, BTreeSet::new());
    }
    console.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_copy_of_an_attempt_with_another_format_is_gone_when_the_job_is_done() -> Result<()> {
    // Given an attempt whose worker died after it had uploaded a WAV file
    let mut fleet = Fleet::without_worker().await?;
    let object = fleet.upload("a.wav", tests::speech::encoded("a.wav", &[])?).await?;
    let job = fleet.job(object, Wish::default());
    fleet.enqueue(std::slice::from_ref(&job)).await?;
    fleet.database.begin_attempt(&job, "dead").await?;
    let s3 = fleet.trial.settings.s3.clone();
    let wav = format!("{}processed_audio.wav", s3.artifact_folder(job.job_id));
    fleet.store.put_bytes(s3.artifact_bucket(), &wav, b"RIFF".to_vec(), "audio/wav").await?;
    // When a worker that keeps FLAC does the job
    fleet.trial.settings.analysis.audio_format = AudioFormat::Flac;
    fleet.start_worker();
    let row = fleet.ended(job.job_id).await?;
    assert!(row.get::<String, _>("audio_key").ends_with("/processed_audio.flac"));
    // Then there is one copy; it is deleted after the commit, before the worker ends
    fleet.stop_worker().await?;
    let wanted = named(["embedding.npy", "processed_audio.flac", "result.json"]);
    assert_eq!(stored(&fleet, job.job_id).await?, wanted);
    fleet.end().await
}

/// A WAV file of noise at 16 kHz, another in each channel.
fn noise(channels: u16, frames: u32) -> Vec<u8> {
    let bytes = frames * u32::from(channels) * 2;
    let mut file = [b"RIFF", (36 + bytes).to_le_bytes().as_slice(), b"WAVEfmt ", &16_u32.to_le_bytes()].concat();
    file.extend([1_u16.to_le_bytes(), channels.to_le_bytes()].concat());
    file.extend([16_000_u32.to_le_bytes(), (32_000 * u32::from(channels)).to_le_bytes()].concat());
    file.extend([(2 * channels).to_le_bytes(), 16_u16.to_le_bytes()].concat());
    file.extend([b"data".as_slice(), &bytes.to_le_bytes()].concat());
    let mut state = 1_u32;
    file.extend((0..frames * u32::from(channels)).flat_map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 22) as i16).to_le_bytes()
    }));
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_channels_than_flac_holds_are_kept_as_wav_and_the_result_says_why() -> Result<()> {
    let fleet = Fleet::start_with(|settings| {
        settings.analysis.audio_format = AudioFormat::Flac;
        settings.audio.max_channels = 9;
    })
    .await?;
    for (channels, name) in [(8, "processed_audio.flac"), (9, "processed_audio.wav")] {
        let row = fleet.put_through(&format!("{channels}.wav"), noise(channels, 20_000), Wish::default()).await?;
        assert_eq!(row.get::<String, _>("status"), "done", "{:?}", row.get::<Option<String>, _>("failure_message"));
        assert!(row.get::<String, _>("audio_key").ends_with(name), "{channels} channels");
        let report: Report = fleet.report(&row).await?;
        assert_eq!(report.channels.iter().filter(|channel| channel.scored).count(), usize::from(channels));
        let copy = report.processed_audio.context("a copy")?;
        assert_eq!(copy.file, name);
        assert_eq!(copy.reason.is_some_and(|reason| reason.contains("at most 8 channels")), channels > 8);
        let samples = decoded(&fleet.artifact(&row, "audio_key").await?)?;
        assert_eq!(samples.len(), 20_000 * usize::from(channels) * 2);
    }
    fleet.end().await
}
