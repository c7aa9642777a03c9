//! Users, sessions and tokens of the console, and what each may do.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use console::cli::Cli;
use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use settings::Login;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::console::Console;
use tests::fleet::Fleet;
use tests::programs;
use tests::speech;

fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().expect("a client")
}

/// Runs a command of `console` with this password; gives whether it succeeded, and its output or error.
async fn command(fleet: &Fleet, arguments: &[&str], password: &str) -> Result<(bool, String)> {
    let cli = Cli::try_parse_from([&["console"], arguments].concat())?;
    let (settings, password, mut out) = (fleet.trial.settings.clone(), password.to_owned(), Vec::new());
    match cli.run_with(|| Ok(settings), || Ok(password), &mut out).await {
        Ok(()) => Ok((true, String::from_utf8(out)?.trim().to_owned())),
        Err(error) => Ok((false, format!("{error:#}"))),
    }
}

fn session(answer: &Response) -> Result<String> {
    let cookie = answer.headers().get("set-cookie").context("a cookie")?.to_str()?;
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn off_loopback_the_console_does_not_start_without_a_user_or_a_token() -> Result<()> {
    let fleet = Fleet::without_worker().await?;
    let mut settings = fleet.trial.settings.clone();
    settings.console.addr = ([0, 0, 0, 0], 0).into();
    let refused = console::serve(settings, tokio_util::sync::CancellationToken::new()).await;
    let error = refused.err().context("must be refused")?.to_string();
    assert!(error.contains("console user add"), "{error}");
    fleet.end().await
}

#[tokio::test]
async fn users_log_in_and_do_what_their_role_allows() -> Result<()> {
    let mut console = Console::without_worker(|s| s.console.login = Login::Never).await?;
    console.fleet.start_worker();
    console.worker_ready().await?;
    let form = Form::new().part("audio", Part::bytes(speech::encoded("a.wav", &["-ar", "16000"])?).file_name("a.wav"));
    let form = form.text("team", "7");
    let prediction: Value =
        Client::new().post(console.at("/api/predict/")).multipart(form).send().await?.json().await?;
    let (this, audio) = (prediction["links"]["self"].clone(), prediction["links"]["audio"].clone());
    let (this, audio) = (this.as_str().context("a link")?, audio.as_str().context("a link")?);
    for (name, role, team) in [("vera", "viewer", None), ("rita", "reviewer", None), ("otto", "reviewer", Some("8"))] {
        let mut arguments = vec!["user", "add", name, "--role", role];
        arguments.extend(team.iter().flat_map(|team| ["--team", team]));
        let (done, said) = command(&console.fleet, &arguments, "correct horse battery").await?;
        assert!(done, "{said}");
    }
    let (done, said) =
        command(&console.fleet, &["user", "add", "x", "--role", "boss"], "correct horse battery").await?;
    assert!(!done && said.contains("viewer, reviewer or admin"), "{said}");
    let (done, _) = command(&console.fleet, &["user", "add", "x"], "short").await?;
    assert!(!done);

    // The same fleet, now with a login.
    let mut settings = console.fleet.trial.settings.clone();
    settings.console.login = Login::Always;
    let stop = tokio_util::sync::CancellationToken::new();
    let guarded = console::serve(settings, stop.clone()).await?;
    let at = |path: &str| format!("http://127.0.0.1:{}{path}", guarded.address.port());
    let as_user = async |cookie: &str, path: &str| client().get(at(path)).header("cookie", cookie).send().await;
    assert_eq!(client().get(at(this)).send().await?.status(), StatusCode::UNAUTHORIZED);
    let page = client().get(at("/recognise/1?t=3")).header("accept", "text/html").send().await?;
    assert_eq!(page.headers()["location"], "/login?next=%2Frecognise%2F1%3Ft%3D3");
    assert_eq!(client().get(at("/ready")).send().await?.status(), StatusCode::OK);

    let enter = async |name: &str, password: &str| {
        let form = [("name", name), ("password", password), ("next", "/api")];
        client().post(at("/login")).form(&form).send().await
    };
    assert_eq!(enter("vera", "wrong password").await?.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(enter("unknown", "correct horse battery").await?.status(), StatusCode::UNAUTHORIZED);
    let entered = enter("vera", "correct horse battery").await?;
    assert_eq!((entered.status(), &entered.headers()["location"]), (StatusCode::SEE_OTHER, &"/api".parse()?));
    let vera = session(&entered)?;
    assert_eq!(as_user(&vera, this).await?.status(), StatusCode::OK);
    assert_eq!(as_user(&vera, audio).await?.status(), StatusCode::FORBIDDEN);
    let rita = session(&enter("rita", "correct horse battery").await?)?;
    assert_eq!(as_user(&rita, audio).await?.status(), StatusCode::OK);
    // Of another team than his own, nothing is found.
    let otto = session(&enter("otto", "correct horse battery").await?)?;
    assert_eq!(as_user(&otto, this).await?.status(), StatusCode::NOT_FOUND);
    let list: Value = as_user(&otto, "/api/v1/analyses?team=7").await?.json().await?;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0));
    // A batch may hold other teams' recordings, and its name may tell of them.
    for all_teams in ["/api/v1/batches", "/api/v1/batches/00000000-0000-0000-0000-000000000000"] {
        assert_eq!(as_user(&otto, all_teams).await?.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(as_user(&rita, "/api/v1/batches").await?.status(), StatusCode::OK);

    // A session ends when its user logs out or is disabled.
    client().post(at("/logout")).header("cookie", &rita).send().await?;
    assert_eq!(as_user(&rita, this).await?.status(), StatusCode::UNAUTHORIZED);
    command(&console.fleet, &["user", "disable", "vera"], "").await?;
    assert_eq!(as_user(&vera, this).await?.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(enter("vera", "correct horse battery").await?.status(), StatusCode::UNAUTHORIZED);
    let trail = "SELECT count(*) FROM audit WHERE (action = 'listen' AND who = 'user:rita') OR (action = 'login_failed' AND who = 'user:vera')";
    assert_eq!(console.fleet.count(trail).await?, 3);
    stop.cancel();
    guarded.ended().await?;
    console.end().await
}

#[tokio::test]
async fn tokens_are_limited_to_their_scopes() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let (done, token) =
        command(&console.fleet, &["token", "add", "nightly", "--scope", "read", "--days", "1"], "").await?;
    assert!(done && token.starts_with("emofleet_"), "{token}");
    assert!(!command(&console.fleet, &["token", "add", "nightly", "--scope", "read"], "").await?.0);
    assert!(!command(&console.fleet, &["token", "add", "other", "--scope", "everything"], "").await?.0);
    let get = async |token: &str, path: &str| client().get(console.at(path)).bearer_auth(token).send().await;
    assert_eq!(get(&token, "/api/v1/analyses").await?.status(), StatusCode::OK);
    let post = client().post(console.at("/api/predict/")).bearer_auth(&token).send().await?;
    assert_eq!(post.status(), StatusCode::FORBIDDEN);
    assert_eq!(post.json::<Value>().await?["code"], "access.forbidden");
    // A wrong token is refused even where none is needed.
    assert_eq!(get("emofleet_wrong", "/api/v1/analyses").await?.status(), StatusCode::UNAUTHORIZED);
    let (_, list) = command(&console.fleet, &["token", "list"], "").await?;
    assert!(list.contains("nightly") && !list.contains(&token));
    command(&console.fleet, &["token", "revoke", "nightly"], "").await?;
    assert_eq!(get(&token, "/api/v1/analyses").await?.status(), StatusCode::UNAUTHORIZED);
    // The name is free again; the revoked token stays revoked.
    let (done, renewed) =
        command(&console.fleet, &["token", "add", "nightly", "--scope", "read", "--team", "7"], "").await?;
    assert!(done, "{renewed}");
    assert_eq!(get(&renewed, "/api/v1/analyses").await?.status(), StatusCode::OK);
    assert_eq!(get(&token, "/api/v1/analyses").await?.status(), StatusCode::UNAUTHORIZED);
    let (_, list) = command(&console.fleet, &["token", "list"], "").await?;
    assert!(list.contains("nightly\tread\t7\tno end\tactive"), "{list}");
    // The scheme may be written in any case.
    let lower = client().get(console.at("/api/v1/analyses")).header("authorization", format!("bearer {renewed}"));
    assert_eq!(lower.send().await?.status(), StatusCode::OK);
    console.end().await
}

/// Waits until `terminal` does not show what is typed on it.
fn until_nothing_is_echoed(terminal: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        let state = Command::new("stty").args(["-a", "-F", terminal.trim()]).output()?;
        if String::from_utf8_lossy(&state.stdout).split_whitespace().any(|word| word == "-echo") {
            return Ok(());
        }
        ensure!(begun.elapsed() < Duration::from_secs(30), "{terminal} shows what is typed");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_typed_is_not_shown() -> Result<()> {
    let fleet = Fleet::without_worker().await?;
    // `script` gives the program a terminal, and shows what that terminal would. Its name comes first.
    let line = format!("tty; exec '{}' user add lin --role reviewer", programs::built("console")?.display());
    let mut typed = Command::new("script");
    typed.args(["-qec", &line, "/dev/null"]).env_clear().envs(programs::environment(&fleet.trial));
    let mut typed = typed.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut keys = typed.stdin.take().context("a keyboard")?;
    let shown = tokio::task::spawn_blocking(move || -> Result<String> {
        let (mut screen, mut shown, mut byte, mut asked) =
            (typed.stdout.take().context("a screen")?, Vec::new(), [0], 0);
        while screen.read(&mut byte)? == 1 {
            shown.push(byte[0]);
            let text = String::from_utf8_lossy(&shown);
            let prompts = text.matches("Password: ").count() + text.matches("The same again: ").count();
            if prompts > asked {
                asked = prompts;
                // The prompt is written before the terminal stops showing what is typed.
                until_nothing_is_echoed(text.lines().next().context("the name of the terminal")?)?;
                keys.write_all(b"correct horse battery\n")?;
            }
        }
        typed.wait()?;
        Ok(String::from_utf8(shown)?)
    });
    let shown = shown.await??;
    assert!(shown.contains("lin may log in as reviewer"), "{shown}");
    assert!(!shown.contains("horse"), "{shown}");
    fleet.end().await
}

async fn token(console: &Console, name: &str, scopes: &str, team: Option<&str>) -> Result<String> {
    let mut arguments = vec!["token", "add", name];
    arguments.extend(scopes.split(',').flat_map(|scope| ["--scope", scope]));
    arguments.extend(team.iter().flat_map(|team| ["--team", team]));
    let (done, said) = command(&console.fleet, &arguments, "").await?;
    ensure!(done, "{said}");
    Ok(said)
}

#[tokio::test]
async fn a_token_for_predictions_reads_its_own_results_and_no_others() -> Result<()> {
    let console = Console::start().await?;
    let sender = token(&console, "sender", "predict", None).await?;
    let stranger = token(&console, "stranger", "predict", None).await?;
    let reviewer = token(&console, "lin", "read,review", None).await?;
    let form = Form::new().part("audio", Part::bytes(speech::encoded("a.wav", &["-ar", "16000"])?).file_name("a.wav"));
    let post = client().post(console.at("/api/v1/predictions")).bearer_auth(&sender).header("prefer", "respond-async");
    let accepted = post.multipart(form).send().await?;
    assert_eq!(accepted.status(), StatusCode::ACCEPTED);
    let location = accepted.headers()["location"].to_str()?.to_owned();
    let job = accepted.json::<Value>().await?["job_id"].as_str().context("a job")?.to_owned();
    let get = async |token: &str, path: &str| client().get(console.at(path)).bearer_auth(token).send().await;
    let done: Value = get(&sender, &format!("{location}?wait=60")).await?.json().await?;
    assert_eq!(done["status"], "done", "{done}");
    // The first event of a job that has ended is its end.
    let events = get(&sender, &format!("{location}/events")).await?.text().await?;
    assert!(events.starts_with("event: done\n"), "{events}");
    let call = format!("/call/predict/{job}");
    for path in [format!("{location}/segments"), format!("/recognise/{job}"), call.clone()] {
        assert_eq!(get(&sender, &path).await?.status(), StatusCode::OK, "{path}");
    }
    for path in [location.clone(), format!("{location}/events"), format!("{location}/segments"), call.clone()] {
        assert_eq!(get(&stranger, &path).await?.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let again = async |token: &str| {
        client().post(console.at(&format!("/recognise/{job}/again"))).bearer_auth(token).send().await
    };
    assert_eq!(again(&stranger).await?.status(), StatusCode::NOT_FOUND);
    assert_eq!(again(&sender).await?.status(), StatusCode::SEE_OTHER);
    // Lists, and results by Gradio's request for readers, stay closed.
    assert_eq!(get(&sender, "/api/v1/analyses").await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(get(&reviewer, &call).await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(get(&reviewer, &location).await?.status(), StatusCode::OK);
    // A token's review is that of a token.
    let put = client().put(console.at(&format!("{location}/review"))).bearer_auth(&reviewer);
    let review: Value =
        put.header("content-type", "application/json").body("{\"emotion\":\"sad\"}").send().await?.json().await?;
    assert_eq!(review["items"][0]["reviewer"], "token:lin", "{review}");
    console.end().await
}

#[tokio::test]
async fn several_files_are_taken_one_by_one_and_shown_to_those_of_their_team() -> Result<()> {
    let console = Console::without_worker(|s| s.console.upload_max_bytes = 1 << 20).await?;
    let seven = token(&console, "seven", "predict,read", Some("7")).await?;
    let eight = token(&console, "eight", "predict,read", Some("8")).await?;
    let wav = speech::encoded("a.wav", &["-ar", "16000", "-t", "2"])?;
    let upload = async |files: Vec<(&str, Vec<u8>)>| {
        let mut form = Form::new();
        for (name, bytes) in files {
            form = form.part("audio", Part::bytes(bytes).file_name(name.to_owned()));
        }
        let post = client().post(console.at("/recognise")).bearer_auth(&seven).header("accept", "text/html");
        post.header("accept-language", "en").multipart(form).send().await
    };
    let long = format!("{}.wav", "通".repeat(119));
    let files =
        vec![("a.wav", wav.clone()), ("empty.wav", vec![]), ("huge.wav", vec![1; 2 << 20]), (&*long, wav.clone())];
    let sent = upload(files).await?;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    let batch = sent.headers()["location"].to_str()?.to_owned();
    let page = async |token: &str| {
        client().get(console.at(&batch)).bearer_auth(token).header("accept-language", "en").send().await
    };
    let shown = page(&seven).await?;
    assert_eq!(shown.status(), StatusCode::OK);
    let text = shown.text().await?;
    for found in ["a.wav", "empty.wav", "The file is empty", "huge.wav", "too large", "通通.wav", "0 / 2"] {
        assert!(text.contains(found), "{found} in {text}");
    }
    assert_eq!(page(&eight).await?.status(), StatusCode::NOT_FOUND);
    assert_eq!(console.fleet.count("SELECT count(*) FROM recordings WHERE team = '7'").await?, 2);
    // With nothing to take, the first sentence says why; and the limit on files is named.
    let refused = upload(vec![("empty.wav", vec![]), ("b.wav", vec![])]).await?;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let many = upload((0..51).map(|_| ("a.wav", vec![1])).collect()).await?.text().await?;
    assert!(many.contains("at most 50") && many.contains("request.too_many_files"), "{many}");
    console.end().await
}

#[tokio::test]
async fn wrong_tokens_of_an_address_are_limited_and_right_ones_are_not() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let right = token(&console, "reader", "read", None).await?;
    let get = async |token: &str| client().get(console.at("/api/v1/analyses")).bearer_auth(token).send().await;
    let mut last = get("emofleet_wrong").await?;
    assert_eq!(last.status(), StatusCode::UNAUTHORIZED);
    for _ in 0..100 {
        last = get("emofleet_wrong").await?;
        if last.status() != StatusCode::UNAUTHORIZED {
            break;
        }
    }
    assert_eq!(last.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(last.headers().contains_key("retry-after"));
    assert_eq!(get(&right).await?.status(), StatusCode::OK);
    console.end().await
}
