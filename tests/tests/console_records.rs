//! What inspectors do with calls over the API: list them, review them, count them, export them, delete them.

use anyhow::{Context, Result};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tests::console::Console;
use tests::speech;

fn wav() -> Result<Vec<u8>> {
    speech::encoded("a.wav", &["-ar", "16000"])
}

fn id(value: &Value) -> Result<String> {
    Ok(value.as_str().context("a text")?.to_owned())
}

/// The calls of a fleet are reviewed, counted, compared and exported, and at last deleted.
async fn inspect(console: &Console) -> Result<()> {
    let fields = [("call_id", "c-1"), ("team", "7"), ("agent", "=1+1"), ("customer", "k-9")];
    let first = console.predict(speech::call(48)?, &fields).await?;
    console.predict(wav()?, &[("call_id", "c-2"), ("team", "8")]).await?;
    let (job, emotion) = (id(&first["job_id"])?, id(&first["emotion"])?);

    // A call has its course.
    let calls = console.get("/api/v1/calls?limit=1").await?;
    assert_eq!(calls["items"][0]["recording"]["call_id"], "c-2");
    let next = id(&calls["next"])?;
    let second = console.get(&format!("/api/v1/calls?limit=1&after={next}")).await?;
    let call = &second["items"][0];
    assert_eq!((&call["job_id"], &call["alerts"], &second["next"]), (&first["job_id"], &0.into(), &Value::Null));
    assert_eq!(call["channels"].as_array().map(Vec::len), Some(1), "{call}");
    assert_eq!((&call["channels"][0]["role"], &call["channels"][0]["channel"]), (&"customer".into(), &1.into()));
    assert!(call["channels"][0]["speech_s"].as_f64().is_some_and(|seconds| seconds > 5.0), "{call}");
    assert_eq!(console.get("/api/v1/calls?team=8").await?["items"].as_array().map(Vec::len), Some(1));

    // A review stands beside the prediction, and a newer one of the same person replaces it.
    let review = format!("/api/v1/analyses/{job}/review");
    for note in ["first", "second"] {
        let verdict = json!({"emotion": "sad", "channel": 1, "segment": 0, "note": note});
        let answer = console.request(Method::PUT, &review, Some(&verdict)).await?;
        assert_eq!(answer.status(), StatusCode::OK);
        let mine: Value = answer.json().await?;
        assert_eq!((&mine["items"][0]["note"], &mine["items"][0]["reviewer"]), (&note.into(), &"local".into()));
    }
    let whole = json!({"emotion": emotion});
    assert_eq!(console.request(Method::PUT, &review, Some(&whole)).await?.status(), StatusCode::OK);
    let reviews = console.get(&format!("/api/v1/reviews?job={job}&limit=1")).await?;
    assert_eq!(
        (&reviews["items"][0]["channel"], &reviews["items"][0]["model_emotion"]),
        (&Value::Null, &first["emotion"])
    );
    let after = id(&reviews["next"])?;
    let older = console.get(&format!("/api/v1/reviews?job={job}&after={after}")).await?;
    assert_eq!((&older["items"][0]["segment"], older["items"].as_array().map(Vec::len)), (&0.into(), Some(1)));
    assert_eq!(console.get("/api/v1/reviews?team=8").await?["items"], json!([]));
    for (wrong, status) in [
        (json!({"emotion": "bored"}), 422),
        (json!({"emotion": "sad", "segment": 999}), 404),
        (json!({"emotion": "sad", "note": "x".repeat(2001)}), 422),
        (json!({"emotion": "sad", "note": "x".repeat(100_000)}), 413),
    ] {
        let answer = console.request(Method::PUT, &review, Some(&wrong)).await?;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["content-type"].to_str()?),
            (status, "application/problem+json")
        );
    }

    // Counts over the last days.
    let days = console.get("/api/v1/stats/emotions").await?;
    assert_eq!((&days["items"][0]["calls"], days["items"].as_array().map(Vec::len)), (&2.into(), Some(1)), "{days}");
    let counted: u64 =
        days["items"][0]["emotions"].as_object().context("counts")?.values().filter_map(Value::as_u64).sum();
    assert_eq!(counted, 2);
    let teams = console.get("/api/v1/stats/emotions?by=team").await?;
    let keys: Vec<_> = teams["items"].as_array().into_iter().flatten().map(|item| item["key"].clone()).collect();
    assert_eq!(keys, [json!("7"), json!("8")]);
    let emotions = console.get("/api/v1/stats/emotions?by=emotion&team=7").await?;
    assert_eq!(emotions["items"][0]["key"], first["emotion"]);
    assert_eq!(
        console.get("/api/v1/stats/emotions?from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z").await?["items"],
        json!([])
    );
    let agreement = console.get("/api/v1/stats/agreement").await?;
    let agrees = agreement["items"].as_array().context("items")?.iter().filter(|item| item["agrees"] == true).count();
    assert!(agrees >= 1, "{agreement}");
    let queues = console.get("/api/v1/stats/queues").await?;
    let names: Vec<String> =
        queues["items"].as_array().into_iter().flatten().filter_map(|q| id(&q["name"]).ok()).collect();
    assert!(names.iter().any(|name| name.ends_with(".jobs.interactive")), "{queues}");
    assert_eq!(console.get("/api/v1/stats/failures").await?["items"], json!([]));

    // The other recording is the only one to compare with, and no neighbour of itself.
    let similar = console.get(&format!("/api/v1/analyses/{job}/similar")).await?;
    assert_eq!((&similar["compared"], similar["items"].as_array().map(Vec::len)), (&1.into(), Some(1)));
    assert_eq!(similar["items"][0]["analysis"]["recording"]["call_id"], "c-2");
    assert!(similar["items"][0]["similarity"].as_f64().is_some_and(|cosine| (-1.0..=1.0).contains(&cosine)));

    // Exports have a row for each scored channel, and no formulas.
    let csv = Client::new().get(console.at("/api/v1/export/calls.csv?team=7")).send().await?;
    assert!(csv.headers()["content-disposition"].to_str()?.contains("calls.csv"));
    let csv = String::from_utf8(csv.bytes().await?.to_vec())?;
    let lines: Vec<&str> = csv.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!((lines.len(), csv.starts_with("\u{feff}job_id,call_id,")), (2, true), "{csv}");
    assert!(lines[1].contains(",'=1+1,7,k-9,") && lines[1].contains(&job), "{csv}");
    assert_eq!(lines[0].split(',').count(), lines[1].split(',').count());
    let jsonl = Client::new().get(console.at("/api/v1/export/calls.jsonl")).send().await?.text().await?;
    let rows: Vec<Value> = jsonl.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!((rows.len(), &rows[1]["agent"], &rows[1]["emotion"]), (2, &"=1+1".into(), &first["emotion"]));
    let exported =
        "SELECT count(*) FROM audit WHERE action = 'export' AND detail IN ('calls.csv team=7', 'calls.jsonl')";
    assert_eq!(console.fleet.count(exported).await?, 2);

    // A deleted call is gone with its objects, its reviews and the recording that was uploaded here.
    let answer = console.request(Method::DELETE, "/api/v1/calls/c-1", None).await?;
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await?);
    let deleted: Value = answer.json().await?;
    assert_eq!((&deleted["analyses"], &deleted["files"], &deleted["reviews"]), (&1.into(), &1.into(), &2.into()));
    assert_eq!(deleted["artifacts"], 3, "{deleted}");
    for gone in [format!("/api/v1/analyses/{job}"), "/api/v1/calls/c-1".into(), format!("/recognise/{job}")] {
        assert_eq!(console.request(Method::GET, &gone, None).await?.status(), StatusCode::NOT_FOUND, "{gone}");
    }
    assert_eq!(console.request(Method::DELETE, "/api/v1/calls/c-1", None).await?.status(), StatusCode::NOT_FOUND);
    let row = "SELECT count(*) FROM audit WHERE action = 'delete' AND who = 'local' AND detail = 'call c-1'";
    assert_eq!(console.fleet.count(row).await?, 1);
    assert_eq!(console.fleet.count("SELECT count(*) FROM recordings").await?, 1);
    Ok(())
}

#[tokio::test]
async fn calls_are_listed_reviewed_counted_exported_and_deleted() -> Result<()> {
    let console = Console::start().await?;
    inspect(&console).await?;
    console.end().await
}

#[tokio::test]
async fn the_consoles_database_role_suffices_for_all_of_it() -> Result<()> {
    let mut console = Console::as_role("emofleet_console").await?;
    console.fleet.start_worker();
    console.worker_ready().await?;
    inspect(&console).await?;
    // Users and tokens as well.
    let token = console.token("reader", &["read"], None).await?;
    assert_eq!(
        Client::new().get(console.at("/api/v1/analyses")).bearer_auth(&token).send().await?.status(),
        StatusCode::OK
    );
    assert_eq!(Client::new().get(console.at("/ready")).send().await?.status(), StatusCode::OK);
    console.end().await
}

#[tokio::test]
async fn a_recording_that_is_not_analysed_yet_is_deleted_only_on_request() -> Result<()> {
    let mut console = Console::start().await?;
    let done = console.predict(wav()?, &[]).await?;
    let analysis = console.get(&id(&done["links"]["self"])?).await?;
    let path = format!("/api/v1/recordings/{}", id(&analysis["recording"]["id"])?);
    console.fleet.stop_worker().await?;
    // Analysed again with other options: queued, since no worker is there.
    let again = Client::builder()
        .redirect(Policy::none())
        .build()?
        .post(console.at(&format!("/recognise/{}/again", id(&done["job_id"])?)));
    assert_eq!(again.form(&[("granularity", "frame")]).send().await?.status(), StatusCode::SEE_OTHER);
    let refused = console.request(Method::DELETE, &path, None).await?;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert_eq!(refused.json::<Value>().await?["code"], "request.conflict");
    assert_eq!(console.fleet.count("SELECT count(*) FROM analyses").await?, 2);
    // The store's file stays when asked to.
    let kept = format!("{path}?even_unfinished=true&file=keep");
    let deleted: Value = console.request(Method::DELETE, &kept, None).await?.json().await?;
    assert_eq!((&deleted["analyses"], &deleted["files"]), (&2.into(), &0.into()));
    assert_eq!(console.fleet.count("SELECT count(*) FROM recordings").await?, 0);
    console.end().await
}

#[tokio::test]
async fn only_administrators_delete_and_export_and_only_what_they_see() -> Result<()> {
    let console = Console::start().await?;
    let prediction = console.predict(wav()?, &[("call_id", "c-7"), ("team", "7")]).await?;
    console.predict(wav()?, &[("call_id", "c-7"), ("team", "8")]).await?;
    let reader = console.token("reader", &["read", "listen"], None).await?;
    let reviewer = console.token("reviewer", &["read", "review"], Some("8")).await?;
    let admin = console.token("admin", &["read", "admin"], Some("8")).await?;
    let send = async |token: &str, method: Method, path: &str| {
        let request = Client::new().request(method, console.at(path)).bearer_auth(token);
        request.header("content-type", "application/json").body("{\"emotion\":\"sad\"}").send().await
    };
    let review = format!("/api/v1/analyses/{}/review", id(&prediction["job_id"])?);
    for (token, method, path, status) in [
        (&reader, Method::DELETE, "/api/v1/calls/c-7", 403),
        (&reader, Method::GET, "/api/v1/export/calls.csv", 403),
        (&reader, Method::PUT, review.as_str(), 403),
        // Of another team than the token's, nothing is found.
        (&reviewer, Method::PUT, review.as_str(), 404),
        (&admin, Method::GET, "/api/v1/stats/queues", 403),
    ] {
        assert_eq!(send(token, method, path).await?.status().as_u16(), status, "{path}");
    }
    let csv = send(&admin, Method::GET, "/api/v1/export/calls.csv?team=7").await?.text().await?;
    assert_eq!(csv.lines().count(), 2, "the header and the call of team 8: {csv}");
    let teams: Value = send(&admin, Method::GET, "/api/v1/stats/emotions?by=team").await?.json().await?;
    assert_eq!((&teams["items"][0]["key"], teams["items"].as_array().map(Vec::len)), (&"8".into(), Some(1)));
    let deleted: Value = send(&admin, Method::DELETE, "/api/v1/calls/c-7").await?.json().await?;
    assert_eq!(deleted["analyses"], 1);
    assert_eq!(console.fleet.count("SELECT count(*) FROM recordings WHERE team = '7'").await?, 1);
    console.end().await
}

#[tokio::test]
async fn audio_is_read_from_the_store_by_a_signed_link_where_the_settings_say_so() -> Result<()> {
    let mut console = Console::without_worker(|settings| settings.console.signed_links_s = 60).await?;
    console.fleet.start_worker();
    console.worker_ready().await?;
    let prediction = console.predict(wav()?, &[]).await?;
    let audio = id(&prediction["links"]["audio"])?;
    let client = Client::builder().redirect(Policy::none()).build()?;
    let answer = client.get(console.at(&audio)).send().await?;
    assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
    let link = answer.headers()["location"].to_str()?.to_owned();
    assert!(link.starts_with(&console.fleet.trial.settings.s3.endpoint) && link.contains("X-Amz-Expires=60"), "{link}");
    let bytes = client.get(&link).header("range", "bytes=0-3").send().await?;
    assert_eq!((bytes.status(), bytes.bytes().await?.as_ref()), (StatusCode::PARTIAL_CONTENT, b"RIFF".as_slice()));
    // A link for one object opens no other one.
    let other = link.replace("processed_audio.wav", "result.json");
    assert_eq!(client.get(&other).send().await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(console.fleet.count("SELECT count(*) FROM audit WHERE action = 'listen'").await?, 1);
    // Pages may play it.
    let page = client.get(console.at("/")).send().await?;
    let policy = page.headers()["content-security-policy"].to_str()?.to_owned();
    assert!(
        policy.contains(&format!("media-src 'self' blob: {};", console.fleet.trial.settings.s3.endpoint)),
        "{policy}"
    );
    console.end().await
}
