//! A console for one test: served in this process on a free port, beside a fleet of its own.

use adapters::boxed;
use anyhow::{Context, Result, ensure};
use clap::Parser;
use console::Serving;
use console::cli::Cli;
use domain::alert::Rulebook;
use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use serde_json::Value;
use settings::Settings;
use tokio_util::sync::CancellationToken;

use crate::calls::Call;
use crate::database::as_role;
use crate::fleet::Fleet;

/// A console and the fleet behind it. Call [`Console::end`] to leave no traces.
pub struct Console {
    /// The fleet.
    pub fleet: Fleet,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    serving: Serving,
    stop: CancellationToken,
}

impl Console {
    /// A console with a worker behind it.
    ///
    /// # Errors
    /// When a service is missing.
    #[boxed]
    pub async fn start() -> Result<Self> {
        let mut console = Self::without_worker(|_| {}).await?;
        console.fleet.start_worker();
        console.worker_ready().await?;
        Ok(console)
    }

    /// A console with settings changed, for the worker too, and no worker yet.
    ///
    /// # Errors
    /// When a service is missing.
    pub async fn without_worker(change: impl FnOnce(&mut Settings)) -> Result<Self> {
        Self::on(Fleet::without_worker().await?, change).await
    }

    /// The same, beside this fleet.
    ///
    /// # Errors
    /// When a service is missing.
    pub async fn on(mut fleet: Fleet, change: impl FnOnce(&mut Settings)) -> Result<Self> {
        let settings = &mut fleet.trial.settings;
        settings.console.addr = ([127, 0, 0, 1], 0).into();
        settings.console.upload_prefix = format!("{}console", fleet.trial.keys);
        settings.console.requests_per_minute = 0;
        change(settings);
        let settings = settings.clone();
        Self::over(fleet, settings).await
    }

    /// A console whose tables are used with this role of `migrations/grants.sql`, and no worker yet.
    ///
    /// # Errors
    /// When a service is missing.
    #[boxed]
    pub async fn as_role(role: &str) -> Result<Self> {
        let Self { fleet, serving, stop, .. } = Self::without_worker(|_| {}).await?;
        stop.cancel();
        serving.ended().await?;
        fleet.database.grant_roles(&fleet.trial.settings.postgres).await?;
        let mut settings = fleet.trial.settings.clone();
        settings.postgres = as_role(&settings.postgres, role);
        Self::over(fleet, settings).await
    }

    async fn over(fleet: Fleet, settings: Settings) -> Result<Self> {
        let stop = CancellationToken::new();
        let serving = console::serve(settings, stop.clone()).await?;
        let url = format!("http://127.0.0.1:{}", serving.address.port());
        Ok(Self { fleet, url, serving, stop })
    }

    /// Waits until a worker takes interactive jobs.
    ///
    /// # Errors
    /// When none comes in time.
    #[boxed]
    pub async fn worker_ready(&self) -> Result<()> {
        let model = &self.fleet.trial.settings.model.name;
        let queue = format!("{}.jobs.interactive.{model}", self.fleet.trial.settings.amqp.prefix);
        for _ in 0..600 {
            let depths = adapters::amqp::depths(&self.fleet.trial.settings.amqp, &[model]).await?;
            if depths.iter().any(|depth| depth.queue == queue && depth.consumers > 0) {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        anyhow::bail!("no worker within a minute")
    }

    /// A request's address.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Asks for an address; gives the answer, whatever its status.
    ///
    /// # Errors
    /// When the console does not answer.
    #[boxed]
    pub async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response> {
        let mut request = Client::new().request(method, self.at(path));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        Ok(request.send().await?)
    }

    /// The JSON at an address.
    ///
    /// # Errors
    /// When the status is not 200.
    #[boxed]
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.request(Method::GET, path, None).await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 200, "{path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// A token for the console, as its command makes one.
    ///
    /// # Errors
    /// When the command fails.
    #[boxed]
    pub async fn token(&self, name: &str, scopes: &[&str], team: Option<&str>) -> Result<String> {
        let mut arguments = vec!["console", "token", "add", name];
        arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
        arguments.extend(team.iter().flat_map(|team| ["--team", team]));
        let (settings, mut out) = (self.fleet.trial.settings.clone(), Vec::new());
        Cli::try_parse_from(arguments)?.run_with(|| Ok(settings), || Ok(String::new()), &mut out).await?;
        Ok(String::from_utf8(out)?.trim().to_owned())
    }

    /// Asks for a page in English, as the bearer of a token; gives the answer, whatever its status.
    ///
    /// # Errors
    /// When the console does not answer.
    #[boxed]
    pub async fn request_page(&self, token: &str, path: &str) -> Result<Response> {
        let client = Client::builder().redirect(Policy::none()).build()?;
        let request = client.get(self.at(path)).header("accept", "text/html").header("accept-language", "en");
        Ok(request.bearer_auth(token).send().await?)
    }

    /// The text of a page.
    ///
    /// # Errors
    /// When the status is not 200.
    #[boxed]
    pub async fn page(&self, token: &str, path: &str) -> Result<String> {
        let answer = self.request_page(token, path).await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 200, "{path}: {status} {text}");
        Ok(text)
    }

    /// Registers and records calls in the batch `night`.
    ///
    /// # Errors
    /// When the database refuses.
    #[boxed]
    pub async fn record(&self, rules: &Rulebook, calls: &[Call]) -> Result<()> {
        for call in calls {
            self.fleet.database.register(&crate::calls::batch("night"), &[call.job()], false).await?;
            call.record(&self.fleet.database, rules).await?;
        }
        Ok(())
    }

    /// The prediction of a recording.
    ///
    /// # Errors
    /// When the status is not 200.
    #[boxed]
    pub async fn predict(&self, bytes: Vec<u8>, fields: &[(&'static str, &'static str)]) -> Result<Value> {
        let mut form = Form::new().part("audio", Part::bytes(bytes).file_name("call.wav"));
        for (name, value) in fields {
            form = form.text(*name, *value);
        }
        let answer = Client::new().post(self.at("/api/v1/predictions")).multipart(form).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 200, "{status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Ends console and fleet, and removes what they made.
    ///
    /// # Errors
    /// When something refuses.
    #[boxed]
    pub async fn end(self) -> Result<()> {
        self.stop.cancel();
        self.serving.ended().await.context("the console ended with an error")?;
        self.fleet.end().await
    }
}
