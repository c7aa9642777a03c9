//! Who may use the console, and what it refuses before it looks at a request.

use anyhow::{Context, Result, ensure};
use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use settings::Login;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use tests::console::Console;
use tests::fleet::Fleet;
use tests::speech;
use tokio::io::AsyncWriteExt;

fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().expect("a client")
}

/// The `console` program, built once for each run of the tests.
fn program() -> Result<&'static Path> {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(program) = PROGRAM.get() {
        return Ok(program);
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let build = ["build", "-q", "--profile", profile, "-p", "emofleet-console", "--manifest-path"];
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    ensure!(
        std::process::Command::new(cargo).args(build).arg(manifest).status()?.success(),
        "the console does not build"
    );
    let folder = std::env::current_exe()?.ancestors().nth(2).context("tests run below target/")?.to_owned();
    Ok(PROGRAM.get_or_init(|| folder.join("console")))
}

/// Runs the `console` program as an operator would.
async fn command(fleet: &Fleet, arguments: &[&str], input: &str) -> Result<(bool, String)> {
    use secrecy::ExposeSecret;
    let program = program()?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env("EMOFLEET__POSTGRES__URL", fleet.trial.settings.postgres.url.expose_secret())
        .env("EMOFLEET__CONSOLE__ADDR", "0.0.0.0:0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("the console program")?;
    child.stdin.take().context("a pipe")?.write_all(input.as_bytes()).await?;
    let output = child.wait_with_output().await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
}

async fn login(console: &Console, name: &str, password: &str) -> Result<Response> {
    let form = [("name", name), ("password", password), ("next", "/api")];
    Ok(client().post(console.at("/login")).form(&form).send().await?)
}

fn session(answer: &Response) -> Result<String> {
    let cookie = answer.headers().get("set-cookie").context("a cookie")?.to_str()?;
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn off_loopback_nobody_is_served_before_somebody_could_log_in() -> Result<()> {
    let fleet = Fleet::without_worker().await?;
    let mut settings = fleet.trial.settings.clone();
    settings.console.addr = ([0, 0, 0, 0], 0).into();
    let refused = console::serve(settings, tokio_util::sync::CancellationToken::new()).await;
    let error = refused.err().context("must be refused")?.to_string();
    assert!(error.contains("console user add"), "{error}");
    fleet.end().await
}

#[tokio::test]
async fn people_log_in_and_do_what_their_role_allows() -> Result<()> {
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
        let (done, said) = command(&console.fleet, &arguments, "correct horse battery\n").await?;
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
    assert_eq!(enter("nobody", "correct horse battery").await?.status(), StatusCode::UNAUTHORIZED);
    let entered = enter("vera", "correct horse battery").await?;
    assert_eq!((entered.status(), &entered.headers()["location"]), (StatusCode::SEE_OTHER, &"/api".parse()?));
    let vera = session(&entered)?;
    assert_eq!(as_user(&vera, this).await?.status(), StatusCode::OK);
    assert_eq!(as_user(&vera, audio).await?.status(), StatusCode::FORBIDDEN);
    let rita = session(&enter("rita", "correct horse battery").await?)?;
    assert_eq!(as_user(&rita, audio).await?.status(), StatusCode::OK);
    // Own team only: other teams' recordings are as if they were not there.
    let otto = session(&enter("otto", "correct horse battery").await?)?;
    assert_eq!(as_user(&otto, this).await?.status(), StatusCode::NOT_FOUND);
    let list: Value = as_user(&otto, "/api/v1/analyses?team=7").await?.json().await?;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0));
    // A batch may hold other teams' recordings, and its name may tell of them.
    for all_teams in ["/api/v1/batches", "/api/v1/batches/00000000-0000-0000-0000-000000000000"] {
        assert_eq!(as_user(&otto, all_teams).await?.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(as_user(&rita, "/api/v1/batches").await?.status(), StatusCode::OK);

    // A session ends by logging out, and by the operator's hand.
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
async fn programs_bring_tokens_with_scopes() -> Result<()> {
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
    console.end().await
}

#[tokio::test]
async fn foreign_names_foreign_pages_and_floods_are_refused() -> Result<()> {
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
    // One address may try ten times a minute.
    let mut last = StatusCode::OK;
    for _ in 0..11 {
        last = login(&console, "nobody", "guess guess guess").await?.status();
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
