//! The pages that list and count calls.

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use domain::Emotion::{Angry, Happy, Neutral};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use std::time::{Duration, Instant};
use tests::call_list::{call, dozen, record};
use tests::console::Console;

/// The page at an address, as a browser gets it.
struct Page {
    status: StatusCode,
    /// Where redirects led, without the host.
    address: String,
    text: String,
}

impl Page {
    async fn of(console: &Console, path: &str, headers: &[(&str, &str)]) -> Result<Self> {
        let mut request = Client::new().get(console.at(path)).header("accept", "text/html");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        assert!(answer.headers()["content-type"].to_str()?.starts_with("text/html"), "{path}");
        let (status, address) = (answer.status(), answer.url().as_str().replace(&console.url, ""));
        Ok(Self { status, address, text: answer.text().await? })
    }

    /// What follows this text wherever it is, up to the next quote.
    fn after(&self, text: &str) -> Vec<String> {
        let rest = self.text.split(text).skip(1);
        rest.map(|rest| rest.split('"').next().unwrap_or_default().replace("&#38;", "&")).collect()
    }

    /// The jobs of the list.
    fn jobs(&self) -> Vec<String> {
        self.after("<th scope=\"row\" class=\"call\" rowspan=\"1\"><a href=\"/recognise/")
    }

    /// The filters in force.
    fn chips(&self) -> Vec<String> {
        self.after("aria-label=\"Remove the filter: ")
    }
}

async fn page(console: &Console, path: &str) -> Result<Page> {
    Page::of(console, path, &[]).await
}

async fn token(console: &Console, name: &str, scopes: &[&str], team: Option<&str>) -> Result<String> {
    Ok(format!("Bearer {}", console.token(name, scopes, team).await?))
}

#[tokio::test]
async fn calls_are_listed_a_hundred_to_a_page_without_skip_or_repeat() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let (begin, mut wanted) = (Utc::now() - TimeDelta::days(2), Vec::new());
    for n in 0..203_i64 {
        // Two at a time: the id decides, across the border of a page as well.
        let at = begin - TimeDelta::minutes(n / 2);
        let call = call(at, [&format!("{n}.wav"), "7", "a1", "c1"], &[(Neutral, 0.9)]);
        wanted.push((at, record(&console.fleet.database, &call).await?.to_string()));
    }
    wanted.sort_by(|a, b| b.cmp(a));
    let wanted: Vec<String> = wanted.into_iter().map(|(_, job)| job).collect();
    let (mut address, mut listed) = ("/calls".to_owned(), Vec::new());
    loop {
        let shown = page(&console, &address).await?;
        assert_eq!(shown.status, StatusCode::OK);
        listed.push(shown.jobs());
        // A call that comes meanwhile moves nothing.
        let newer = call(Utc::now(), [&format!("newer-{}.wav", listed.len()), "7", "a1", "c1"], &[(Neutral, 0.9)]);
        record(&console.fleet.database, &newer).await?;
        let Some(older) = shown.after("rel=\"next\" href=\"").pop() else { break };
        address = older;
    }
    assert_eq!(listed.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 3]);
    assert_eq!(listed.concat(), wanted);
    let last = page(&console, &address).await?;
    let newest = page(
        &console,
        &last.after("aria-label=\"Older and newer calls\">\n  <a class=\"button\" href=\"").swap_remove(0),
    )
    .await?;
    assert_eq!(newest.jobs().len(), 100);
    assert!(!newest.jobs().contains(&wanted[202]) && newest.jobs().contains(&wanted[0]));
    console.end().await
}

#[tokio::test]
async fn filters_in_the_address_narrow_the_list_and_can_be_taken_away() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let calls = dozen(&console.fleet.database).await?;
    let job = |n: usize| calls[n].job().job_id.to_string();
    let old = call(Utc::now() - TimeDelta::days(45), ["old.wav", "7", "a1", "c1"], &[(Neutral, 0.9)]);
    let old = record(&console.fleet.database, &old).await?.to_string();

    // The last 30 days, which is a filter that is seen and can be taken away.
    let shown = page(&console, "/calls").await?;
    assert_eq!(shown.jobs(), (0..12).map(job).collect::<Vec<_>>());
    assert_eq!(shown.chips(), ["Last 30 days"]);
    let all = page(&console, "/calls?days=all").await?;
    assert_eq!((all.jobs().len(), all.jobs()[12].as_str(), all.chips().len()), (13, old.as_str(), 0));
    assert!(shown.text.contains("href=\"/calls?days=all\" aria-label=\"Remove the filter: Last 30 days\""));

    for (filters, wanted) in [
        ("team=8", vec![2, 3, 7, 8]),
        ("agent=Agent+3", vec![0, 4, 10]),
        ("customer=c-1042", vec![0, 3]),
        ("emotion=sad", vec![6]),
        ("alerts=true", vec![0, 3, 10]),
        ("team=7&alerts=true&customer=c-0001", vec![10]),
        ("team=none", vec![]),
    ] {
        let narrowed = page(&console, &format!("/calls?{filters}")).await?;
        assert_eq!(narrowed.jobs(), wanted.into_iter().map(job).collect::<Vec<_>>(), "{filters}");
        assert_eq!(narrowed.chips().len(), filters.split('&').count() + 1, "{filters}");
        // The file has the same calls.
        let export = narrowed.after("class=\"button\" href=\"/api/v1/export/").swap_remove(0);
        let csv = Client::new().get(console.at(&format!("/api/v1/export/{export}"))).send().await?.text().await?;
        assert_eq!(csv.lines().count() - 1, narrowed.jobs().len(), "{export}: {csv}");
    }
    assert!(page(&console, "/calls?team=none").await?.text.contains("No calls match these filters"));

    // What a form sends becomes an address to share: no empty values, and dates instead of days.
    let sent = page(&console, "/calls?days=30&from=&to=&utc_offset_min=0&team=7&agent=&customer=&emotion=").await?;
    assert_eq!(sent.address, "/calls?utc_offset_min=0&team=7");
    let kept = Page::of(&console, "/calls?team=7", &[("cookie", "utc_offset_min=480")]).await?;
    assert_eq!(kept.address, "/calls?team=7&utc_offset_min=480");
    console.end().await
}

#[tokio::test]
async fn days_are_those_of_the_chosen_clock_with_the_last_one_whole() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let mut jobs = Vec::new();
    for at in ["2025-03-13T15:59:59Z", "2025-03-13T16:00:00Z", "2025-03-14T15:59:59Z", "2025-03-14T16:00:00Z"] {
        let call = call(at.parse()?, [at, "7", "a1", "c1"], &[(Neutral, 0.9)]);
        jobs.push(record(&console.fleet.database, &call).await?.to_string());
    }
    let china = page(&console, "/calls?from=2025-03-14&to=2025-03-14&utc_offset_min=480").await?;
    assert_eq!(china.jobs(), [jobs[2].clone(), jobs[1].clone()]);
    assert!(china.text.contains("data-clock>2025-03-14 <span>23:59</span>") && china.text.contains("UTC+08:00"));
    assert_eq!(china.chips(), ["From 2025-03-14", "Until 2025-03-14"]);
    let utc = page(&console, "/calls?from=2025-03-14&to=2025-03-14").await?;
    assert_eq!(utc.jobs(), [jobs[3].clone(), jobs[2].clone()]);
    let counted = page(&console, "/overview?from=2025-03-14&to=2025-03-14&utc_offset_min=480").await?;
    assert!(counted.text.contains("2025-03-14 to 2025-03-14, UTC+08:00"), "{}", counted.text);
    assert!(counted.text.contains("aria-label=\"2025-03-14: 2 calls\""));
    console.end().await
}

#[tokio::test]
async fn a_row_tells_how_the_call_went_and_leads_to_its_angriest_second() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let at: DateTime<Utc> = Utc::now() - TimeDelta::hours(1);
    let timeline = [(Neutral, 0.9), (Neutral, 0.9), (Neutral, 0.8), (Angry, 0.7), (Angry, 0.9), (Angry, 0.8)];
    let angry = call(at, ["angry.wav", "7", "a1", "c1"], &timeline);
    let job = record(&console.fleet.database, &angry).await?;
    let shown = page(&console, "/calls").await?;
    // Segments of twelve seconds, half a second apart: the fifth begins at 50 s, and the fourth at 37.5 s.
    let peak = format!("<span class=\"numbers\">90 %</span> <a class=\"numbers\" href=\"/recognise/{job}?t=50\"");
    assert!(shown.text.contains(&peak), "{}", shown.text);
    assert!(shown.text.contains(&format!("href=\"/recognise/{job}?t=37.5\"")), "where it turned negative");
    assert!(shown.text.contains("Negative emotions grew from 0 percent in the first third to 8"), "{}", shown.text);
    assert!(shown.text.contains("<span class=\"count\">1</span>") && !shown.text.contains("class=\"reviewed\""));
    assert!(
        shown.text.contains("<span class=\"mood e-neutral\">") || shown.text.contains("<span class=\"mood e-angry\">")
    );
    let import = adapters::postgres::Import::Whole;
    console.fleet.database.import_reviews(&[angry.review()], import).await?;
    assert!(page(&console, "/calls").await?.text.contains("class=\"reviewed\""));
    // The address in the links of alerts goes on to the result.
    let client = Client::builder().redirect(Policy::none()).build()?;
    let link = client.get(console.at(&format!("/calls/{job}?t=50"))).send().await?;
    assert_eq!(link.headers()["location"], format!("/recognise/{job}?t=50"));
    console.end().await
}

#[tokio::test]
async fn texts_of_strangers_are_shown_and_do_nothing() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let script = "<script>alert(1)</script>";
    let who = ["\u{202e}vaw.x\"><img src=x>.wav", script, "\u{202e}agent", "a&b=c#d"];
    let call = call(Utc::now() - TimeDelta::hours(1), who, &[(Angry, 0.9), (Happy, 0.8)]);
    record(&console.fleet.database, &call).await?;
    for address in ["/calls", "/overview"] {
        let shown = page(&console, address).await?;
        assert!(!shown.text.contains(script) && shown.text.contains("script&#62;alert(1)"), "{}", shown.text);
        assert!(!shown.text.contains("<img") && !shown.text.contains('\u{202e}'), "{address}");
        assert!(shown.text.contains("\\u{202e}agent"), "{address}");
    }
    // What such a name leads to is the filter by it.
    let shown = page(&console, "/calls").await?;
    let link = shown.after("<td class=\"who\" rowspan=\"1\"><a href=\"");
    for address in link {
        assert_eq!(page(&console, &address).await?.jobs().len(), 1, "{address}");
    }
    let typed = page(&console, "/calls?team=%22%3E%3Cimg+src%3Dx%3E&agent=%E2%80%AEx&from=%3Cimg%3E").await?;
    assert_eq!(typed.status, StatusCode::BAD_REQUEST);
    assert!(!typed.text.contains("<img") && !typed.text.contains('\u{202e}'), "{}", typed.text);
    console.end().await
}

#[tokio::test]
async fn what_can_not_be_read_in_an_address_is_named_in_the_readers_language() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    for (filters, english, chinese) in [
        ("from=14.03.2025", "“14.03.2025” is not a day.", "“14.03.2025”不是日期"),
        ("to=2025-02-30", "“2025-02-30” is not a day.", "不是日期"),
        ("from=2025-03-02&to=2025-03-01", "the first day is after the last one", "请对调"),
        ("days=0", "is not a number of days", "不是天数"),
        ("utc_offset_min=900", "is not a time zone", "不是时区"),
        ("team=a%00b", "a character that no name has", "名称里不会有的字符"),
    ] {
        for (lang, sentence) in [("en", english), ("zh", chinese)] {
            for path in ["/calls", "/overview"] {
                let refused = Page::of(&console, &format!("{path}?{filters}"), &[("accept-language", lang)]).await?;
                assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}?{filters}");
                assert!(refused.text.contains(sentence) && refused.text.contains("aria-invalid"), "{}", refused.text);
            }
        }
    }
    for (filters, sentence) in [
        ("emotion=bored", "is not an emotion that is known here"),
        ("alerts=perhaps", "alerts is true, or absent"),
        ("after=x", "This link to older calls is damaged"),
    ] {
        let refused = page(&console, &format!("/calls?{filters}")).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{filters}");
        assert!(refused.text.contains(&sentence.replace('\'', "&#39;")), "{}", refused.text);
    }
    // Years that the database does not hold are no error.
    for filters in ["from=0000-01-01", "to=%2B99999-01-01", "from=-5000-01-01&to=9999-12-31"] {
        for path in ["/calls", "/overview"] {
            assert_eq!(page(&console, &format!("{path}?{filters}")).await?.status, StatusCode::OK, "{path}?{filters}");
        }
    }
    console.end().await
}

#[tokio::test]
async fn who_is_bound_to_a_team_sees_that_team_only() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let calls = dozen(&console.fleet.database).await?;
    let bound = token(&console, "bound", &["read"], Some("8")).await?;
    let uploader = token(&console, "uploader", &["predict"], None).await?;
    let headers = [("authorization", bound.as_str()), ("accept-language", "en")];
    let team_8: Vec<_> = [2, 3, 7, 8].map(|n: usize| calls[n].job().job_id.to_string()).into();
    for address in ["/calls", "/calls?team=7", "/calls?agent=Agent+3"] {
        let shown = Page::of(&console, address, &headers).await?;
        let wanted = if address.contains("agent") { Vec::new() } else { team_8.clone() };
        assert_eq!(shown.jobs(), wanted, "{address}");
        assert!(
            shown.text.contains("<input value=\"8\" disabled>") && shown.text.contains("Team 8</bdi>"),
            "{address}"
        );
        assert!(!shown.text.contains("/api/v1/export/") && !shown.text.contains("name=\"team\""), "{address}");
    }
    let counted = Page::of(&console, "/overview?team=7", &headers).await?;
    assert!(counted.text.contains("<li><strong>4</strong>") && !counted.text.contains("Agent 3"), "{}", counted.text);
    // The head leads only to what the reader may open.
    let links = |page: &Page| page.after("<nav aria-label=\"Pages\">").len() + page.after("<a href=\"/api\"").len();
    assert_eq!(links(&counted), 1, "no recognition without `predict`");
    let refused = Page::of(&console, "/calls", &[("authorization", uploader.as_str())]).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(!refused.text.contains("<a href=\"/calls\"") && refused.text.contains("<a href=\"/api\""));
    console.end().await
}

#[tokio::test]
async fn the_overview_counts_what_its_links_list() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    dozen(&console.fleet.database).await?;
    let shown = page(&console, "/overview").await?;
    // All but the one without speech.
    assert!(shown.text.contains("<li><strong>11</strong><span>Calls with speech"), "{}", shown.text);
    let days = shown.after("<li><a href=\"/calls?");
    assert!(days.len() >= 30, "{days:?}");
    let mut listed = 0;
    for day in &days {
        listed += page(&console, &format!("/calls?{day}")).await?.jobs().len();
    }
    assert_eq!(listed, 12, "each call is in one day");
    let count = |row: &str| -> Result<usize> {
        let row = shown.text.split(row).nth(1).context("the row")?;
        Ok(row.split("<td class=\"number\">").nth(1).context("a number")?.split('<').next().context("it")?.parse()?)
    };
    for (name, address) in [("<bdi>8</bdi>", "team=8"), ("<bdi>Agent 3</bdi>", "agent=Agent+3")] {
        let address = shown.after("<th scope=\"row\"><a href=\"").into_iter().find(|link| link.ends_with(address));
        assert_eq!(page(&console, &address.context("a link")?).await?.jobs().len(), count(name)?, "{name}");
    }
    // A year is counted by week, and no more than a year at once.
    let year = page(&console, "/overview?days=all").await?;
    assert!(year.text.contains("Calls by week") && year.text.contains("At most 366 days"), "{}", year.text);
    assert_eq!(year.after("<li><a href=\"/calls?").len() / 10, 5, "53 weeks and the emotions");
    let empty = page(&console, "/overview?from=2001-01-01&to=2001-01-31").await?;
    assert!(empty.text.contains("No calls with speech in this period"));
    console.end().await
}

#[tokio::test]
async fn calls_of_an_agent_or_a_customer_are_found_by_an_index() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    let pool = console.fleet.database.pool();
    // 20,000 calls of 500 agents.
    sqlx::raw_sql(
        "INSERT INTO recordings (id, bucket, key, agent, customer)
            SELECT gen_random_uuid(), 'b', 'k' || n, 'a' || n % 500, 'c' || n FROM generate_series(1, 20000) n;
        INSERT INTO analyses (job_id, recording_id, called_at, status, emotion, confidence, score_angry, model_name, submitted_at,
                finished_at, speech_s)
            SELECT gen_random_uuid(), id, now() - random() * interval '60 days', 'done', 'sad', 0.8, 0.1, 'm', now(), now(), 5
              FROM recordings;
        INSERT INTO channels (job_id, channel, called_at, recording_id, scored, role)
            SELECT job_id, 0, called_at, recording_id, true, 'speaker' FROM analyses;
        ANALYZE",
    )
    .execute(pool)
    .await?;
    for (filter, calls, index) in
        [("agent=a7", 40, "recordings_by_agent"), ("customer=c7", 1, "recordings_by_customer")]
    {
        let found = console.get(&format!("/api/v1/calls?{filter}&limit=100")).await?;
        assert_eq!(found["items"].as_array().map(Vec::len), Some(calls), "{filter}");
        // The server counts the scans of an index, some time after.
        let scans = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = $1";
        let begun = Instant::now();
        while sqlx::query_scalar::<_, i64>(scans).bind(index).fetch_one(pool).await? == 0 {
            anyhow::ensure!(begun.elapsed() < Duration::from_secs(20), "{filter}: {index} was not used");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    console.end().await
}
