//! `POST /api/predict/` and `/api/v1/predictions`, in every form that callers send.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tests::console::Console;
use tests::speech;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn part(bytes: Vec<u8>) -> Part {
    Part::bytes(bytes).file_name("通话 1.wav")
}

async fn problem(response: Response, status: u16, code: &str) -> Result<Value> {
    let kind = response.headers()["content-type"].to_str()?.to_owned();
    assert_eq!(response.status().as_u16(), status, "{}", response.text().await?);
    assert_eq!(kind, "application/problem+json");
    let body: Value = response.json().await?;
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["status"], status);
    assert_eq!(body["error"], body["title"]);
    for key in ["type", "detail", "instance"] {
        assert!(body[key].as_str().is_some_and(|text| !text.is_empty()), "{key} in {body}");
    }
    Ok(body)
}

fn is_a_prediction(body: &Value, granularity: &str) {
    let sum: f64 = body["scores"].as_object().expect("scores").values().filter_map(Value::as_f64).sum();
    assert!((sum - 1.0).abs() < 1e-3, "{body}");
    assert_eq!(body["scores"].as_object().map(serde_json::Map::len), Some(9));
    assert_eq!(body["confidence"], body["scores"][body["emotion"].as_str().expect("a label")]);
    assert_eq!(body["granularity"], granularity);
    assert!(body["timestamp"].as_str().is_some_and(|t| chrono::DateTime::parse_from_rfc3339(t).is_ok()));
    assert!(body["segments"].as_array().is_some_and(|segments| !segments.is_empty()));
    assert_eq!(body["links"]["self"], format!("/api/v1/analyses/{}", body["job_id"].as_str().expect("an id")));
}

#[tokio::test]
async fn every_form_of_the_request_is_answered() -> Result<()> {
    let console = Console::start().await?;
    let (client, wav) = (Client::new(), speech::encoded("a.wav", &["-ar", "16000"])?);
    // A form, with the names and spellings that clients use.
    for (path, name, fields) in [
        ("/api/predict/", "audio", vec![]),
        ("/api/predict", "audio", vec![("granularity", "utterance"), ("extract_embedding", "True")]),
        ("/api/predict/", "file", vec![("granularity", "Frame"), ("extract_embedding", "false"), ("unknown", "x")]),
        ("/api/v1/predictions", "files", vec![("extract_embedding", "1")]),
    ] {
        // Text parts may come before the file or after it.
        let mut form = Form::new();
        for (name, value) in fields.iter().skip(1) {
            form = form.text(*name, *value);
        }
        form = form.part(name, part(wav.clone()));
        for (name, value) in fields.iter().take(1) {
            form = form.text(*name, *value);
        }
        let answer = client.post(console.at(path)).multipart(form).send().await?;
        assert_eq!(answer.status(), StatusCode::OK, "{path} {name}");
        let body: Value = answer.json().await?;
        let frame = fields.contains(&("granularity", "Frame"));
        is_a_prediction(&body, if frame { "frame" } else { "utterance" });
        assert_eq!(body["frames"].is_object(), frame);
        // Stored by default: `requests` drops the option of callers who send json= beside files=.
        assert_eq!(body["links"]["npy"].is_string(), !fields.contains(&("extract_embedding", "false")), "{fields:?}");
    }
    // Gradio's JSON, also without a content type, and at the address of Gradio 3.
    let url = format!("data:audio/wav;base64,{}", STANDARD.encode(&wav));
    for (path, file, kind) in [
        ("/api/predict/", json!({"name": "a.wav", "data": url}), Some("application/json")),
        ("/run/predict", json!({"name": "a.wav", "data": url}), None),
        ("/gradio_api/run/predict", json!({"name": "a.wav", "data": url}), None),
        ("/api/predict", json!(url), Some("application/json")),
    ] {
        let body = json!({"data": [file, "utterance", true], "fn_index": 0, "session_hash": "s"}).to_string();
        let mut request = client.post(console.at(path)).body(body);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let answer = request.send().await?;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let body: Value = answer.json().await?;
        is_a_prediction(&body, "utterance");
        is_a_prediction(&body["data"][0], "utterance");
        assert_eq!(body["is_generating"], false);
        assert!(body["duration"].is_number() && body["average_duration"].is_number());
    }
    // A part without a file name.
    let form = Form::new().part("audio", Part::bytes(wav.clone()));
    is_a_prediction(&client.post(console.at("/api/predict/")).multipart(form).send().await?.json().await?, "utterance");
    // The bytes alone.
    let answer = client.post(console.at("/api/v1/predictions?granularity=frame")).header("content-type", "audio/wav");
    is_a_prediction(&answer.body(wav.clone()).send().await?.json().await?, "frame");
    console.end().await
}

#[tokio::test]
async fn gradios_two_requests_give_an_event() -> Result<()> {
    let console = Console::start().await?;
    let (client, wav) = (Client::new(), speech::encoded("a.wav", &["-ar", "16000"])?);
    for prefix in ["", "/gradio_api"] {
        let form = Form::new().part("files", Part::bytes(vec![1; 9]).file_name("blob"));
        let form = form.part("files", Part::bytes(wav.clone()).file_name("blob"));
        let paths: Vec<String> =
            client.post(console.at(&format!("{prefix}/upload"))).multipart(form).send().await?.json().await?;
        assert_eq!(paths.len(), 2);
        let file = json!({"path": paths[1], "orig_name": "通话 1.wav", "meta": {"_type": "gradio.FileData"}});
        let body = json!({"data": [file, "utterance", false]});
        let begun: Value =
            client.post(console.at(&format!("{prefix}/call/predict"))).json(&body).send().await?.json().await?;
        let id = begun["event_id"].as_str().expect("an event");
        let events = client.get(console.at(&format!("{prefix}/call/predict/{id}"))).send().await?.text().await?;
        let data = events.strip_prefix("event: complete\ndata: ").expect(&events);
        let results: Value = serde_json::from_str(data.trim())?;
        is_a_prediction(&results[0], "utterance");
        assert!(results[0]["links"]["npy"].is_null());
        let analysis = console.get(results[0]["links"]["self"].as_str().expect("a link")).await?;
        assert_eq!(analysis["recording"]["name"], "通话 1.wav");
    }
    // Paths that /upload did not give are refused, and so are addresses.
    for file in
        [json!({"path": "/etc/passwd"}), json!({"url": "http://127.0.0.1/x.wav"}), json!({"path": "uploads/0/x.wav"})]
    {
        let answer = client.post(console.at("/call/predict")).json(&json!({"data": [file]})).send().await?;
        problem(answer, 422, "request.invalid").await?;
    }
    console.end().await
}

#[tokio::test]
async fn recordings_that_cannot_be_scored_are_refused_with_their_code() -> Result<()> {
    let console = Console::start().await?;
    let (client, at) = (Client::new(), console.at("/api/predict/"));
    let send = async |bytes: Vec<u8>| client.post(&at).multipart(Form::new().part("audio", part(bytes))).send().await;
    problem(send(Vec::new()).await?, 422, "audio.empty").await?;
    problem(send(b"This is a letter, not a recording.".repeat(50)).await?, 415, "audio.not_audio").await?;
    let silence = speech::encoded("s.wav", &["-af", "volume=0", "-ar", "16000"])?;
    problem(send(silence).await?, 422, "audio.no_speech").await?;
    let mut cut = speech::encoded("a.flac", &["-ar", "16000"])?;
    cut.truncate(cut.len() / 2);
    let body = send(cut).await?;
    assert_eq!(body.status().as_u16(), 422, "{}", body.text().await?);

    problem(client.post(&at).multipart(Form::new().text("granularity", "frame")).send().await?, 422, "audio.missing")
        .await?;
    problem(client.post(&at).form(&[("granularity", "frame")]).send().await?, 422, "audio.missing").await?;
    problem(client.post(&at).send().await?, 422, "audio.missing").await?;
    problem(client.post(&at).json(&json!({"data": [null]})).send().await?, 422, "audio.missing").await?;
    let wrong = Form::new().part("audio", part(vec![1; 64])).text("granularity", "word");
    let body = problem(client.post(&at).multipart(wrong).send().await?, 422, "request.invalid").await?;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("utterance") && detail.contains("frame")));
    let broken = client.post(&at).header("content-type", "application/json").body("{\"data\": [");
    problem(broken.send().await?, 400, "request.invalid").await?;
    let broken = client.post(&at).header("content-type", "multipart/form-data; boundary=x").body("--y\r\n");
    problem(broken.send().await?, 400, "request.invalid").await?;
    let other = client.post(&at).header("content-type", "application/xml").body("<a/>");
    problem(other.send().await?, 415, "request.media_type").await?;
    problem(client.put(&at).send().await?, 405, "request.method").await?;
    problem(client.get(console.at("/api/v1/nothing")).send().await?, 404, "not_found").await?;
    console.end().await
}

#[tokio::test]
async fn an_upload_past_the_limit_gets_a_clear_answer() -> Result<()> {
    let console = Console::without_worker(|s| s.console.upload_max_bytes = 1 << 20).await?;
    let client = Client::new();
    // 64 MiB, in both forms.
    let large = Part::stream_with_length(reqwest::Body::from(vec![7_u8; 64 << 20]), 64 << 20).file_name("a.wav");
    let answer = client.post(console.at("/api/predict/")).multipart(Form::new().part("audio", large)).send().await?;
    problem(answer, 413, "request.too_large").await?;
    let raw = client.post(console.at("/api/predict/")).header("content-type", "audio/wav").body(vec![7_u8; 64 << 20]);
    problem(raw.send().await?, 413, "request.too_large").await?;
    let json = format!("{{\"data\": [\"data:audio/wav;base64,{}\"]}}", "A".repeat(8 << 20));
    let json = client.post(console.at("/api/predict/")).header("content-type", "application/json").body(json);
    problem(json.send().await?, 413, "request.too_large").await?;
    console.end().await
}

#[tokio::test]
async fn without_a_worker_the_answer_is_503_and_nothing_is_stored() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let wav = speech::encoded("a.wav", &["-ar", "16000"])?;
    let form = Form::new().part("audio", part(wav));
    let answer = Client::new().post(console.at("/api/predict/")).multipart(form).send().await?;
    assert!(answer.headers().contains_key("retry-after"));
    problem(answer, 503, "worker.none").await?;
    assert_eq!(console.fleet.count("SELECT count(*) FROM analyses").await?, 0);
    console.end().await
}

#[tokio::test]
async fn a_prediction_is_answered_at_once_on_request_and_repeated_by_its_key() -> Result<()> {
    let console = Console::start().await?;
    let (client, wav) = (Client::new(), speech::encoded("a.wav", &["-ar", "16000"])?);
    let send = async |key: &str, bytes: Vec<u8>| {
        let form = Form::new().part("audio", part(bytes));
        let request = client.post(console.at("/api/v1/predictions")).multipart(form);
        request.header("prefer", "respond-async").header("idempotency-key", key).send().await
    };
    let first = send("k1", wav.clone()).await?;
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    let location = first.headers()["location"].to_str()?.to_owned();
    assert!(first.headers().contains_key("retry-after"));
    let body: Value = first.json().await?;
    assert_eq!(body["links"]["self"], location);
    // The same key and request is the same job; the same key with another file is refused.
    let again: Value = send("k1", wav.clone()).await?.json().await?;
    assert_eq!(again["job_id"], body["job_id"]);
    let mut other = wav;
    other.push(0);
    problem(send("k1", other).await?, 422, "request.conflict").await?;
    // The analysis is waited for where the answer said it is.
    let done: Value = client.get(console.at(&format!("{location}?wait=60"))).send().await?.json().await?;
    assert_eq!(done["status"], "done", "{done}");
    assert_eq!(done["recording"]["name"], "通话 1.wav");
    assert_eq!(console.fleet.count("SELECT count(*) FROM analyses").await?, 1);
    console.end().await
}

#[tokio::test]
async fn a_prediction_that_takes_longer_than_the_wait_is_202() -> Result<()> {
    let mut console = Console::without_worker(|s| s.console.predict_wait_s = 1).await?;
    console.fleet.start_worker();
    console.worker_ready().await?;
    // Ten minutes of a call take more than a second.
    let form = Form::new().part("audio", part(speech::call(600)?));
    let begun = std::time::Instant::now();
    let answer = Client::new().post(console.at("/api/predict/")).multipart(form).send().await?;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert!(begun.elapsed() < Duration::from_secs(20));
    let location = answer.headers()["location"].to_str()?.to_owned();
    let mut status = Value::Null;
    for _ in 0..4 {
        let analysis: Value =
            Client::new().get(console.at(&format!("{location}?wait=60"))).send().await?.json().await?;
        status = analysis["status"].clone();
        if status == "done" {
            break;
        }
    }
    assert_eq!(status, "done");
    console.end().await
}

#[tokio::test]
async fn slow_senders_of_json_hold_up_no_other_prediction() -> Result<()> {
    let console = Console::start().await?;
    let wav = speech::encoded("a.wav", &["-ar", "16000"])?;
    let mut slow = Vec::new();
    for _ in 0..12 {
        let mut stream = TcpStream::connect(console.url.trim_start_matches("http://")).await?;
        let head = "POST /api/predict/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
        stream.write_all(head.as_bytes()).await?;
        slow.push(stream);
    }
    let body = json!({"data": [format!("data:audio/wav;base64,{}", STANDARD.encode(&wav)), "utterance", false]});
    for _ in 0..2 {
        let answer = Client::new().post(console.at("/api/predict/")).json(&body).timeout(Duration::from_secs(120));
        is_a_prediction(&answer.send().await?.json().await?, "utterance");
    }
    drop(slow);
    console.end().await
}

#[tokio::test]
async fn who_waits_for_a_recording_that_is_deleted_is_told() -> Result<()> {
    // Without a worker, the job would wait for good.
    let console = Console::without_worker(|_| {}).await?;
    let wav = speech::encoded("a.wav", &["-ar", "16000"])?;
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let form = Form::new().part("audio", part(wav));
    let sent = client.post(console.at("/recognise")).multipart(form).send().await?;
    let page = sent.headers()["location"].to_str()?.to_owned();
    let job = page.rsplit('/').next().unwrap_or_default();
    let this = format!("/api/v1/analyses/{job}");
    let recording = console.get(&this).await?["recording"]["id"].as_str().expect("an id").to_owned();
    // The first event is there before the deletion.
    let mut events = client.get(console.at(&format!("{this}/events"))).send().await?;
    let mut seen = String::from_utf8(events.chunk().await?.expect("an event").to_vec())?;
    assert!(seen.starts_with("event: progress"), "{seen}");
    let call = client.get(console.at(&format!("/call/predict/{job}"))).send().await?;
    let deletion = format!("/api/v1/recordings/{recording}?even_unfinished=true");
    assert_eq!(console.request(reqwest::Method::DELETE, &deletion, None).await?.status(), StatusCode::OK);
    let wait = async {
        while let Some(chunk) = events.chunk().await? {
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
        call.text().await
    };
    let output = tokio::time::timeout(Duration::from_secs(60), wait).await??;
    assert!(seen.contains("event: deleted\n"), "{seen}");
    assert!(output.starts_with("event: error") && output.contains("job.deleted"), "{output}");
    console.end().await
}
