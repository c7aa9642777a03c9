//! `migrations/grants.sql`: each program can do its work, and not what is none of its business.

use adapters::postgres::{self, Age, Database, Import, NewBatch, OpenJobs};
use chrono::Utc;
use domain::{Emotion, FailureCode};
use secrecy::ExposeSecret;
use sqlx::AssertSqlSafe;
use std::process::Command;
use tests::calls::{Call, token};
use tests::cookbook::questions;
use tests::database::{self, TestDatabase};
use tests::own_postgres::OwnPostgres;

async fn as_role(test: &TestDatabase, role: &str) -> anyhow::Result<Database> {
    Ok(Database::connect(&database::as_role(&test.settings, role)).await?)
}

#[tokio::test]
async fn each_role_does_its_work_and_no_more() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    for _ in 0..2 {
        test.database.grant_roles(&test.settings).await?;
    }
    let call =
        Call::new("a.wav").by("7", "a", "c", "2025-03-14T09:00:00Z").with_timeline(&[(4.0, Emotion::Angry, 0.9)]);
    let (producer, worker) = (as_role(&test, "emofleet_producer").await?, as_role(&test, "emofleet_worker").await?);
    let batch = NewBatch { id: call.job().batch_id, name: call.batch.clone(), source: "s3://calls/".into() };
    assert_eq!(producer.register(&batch, &[call.job()], false).await?.len(), 1);
    // The month's partition is made by a worker that may not create tables
    assert_eq!(worker.begin_attempt(&call.job(), "w").await?.begun().map(|begun| begun.number), Some(1));
    let last = token(&worker, call.job().job_id).await;
    worker.record_done(&call.report(), &call.artifacts(), None, &[], "w", last).await?;
    // Call data may be corrected by whoever may register, whatever else the role may not
    let console = as_role(&test, "emofleet_console").await?;
    let mut corrected = call.clone();
    for (role, team, month) in [(&producer, "8", "02"), (&console, "9", "01"), (&worker, "7", "04")] {
        corrected = corrected.by(team, "a", "c", &format!("2025-{month}-14T09:00:00Z"));
        if team == "7" {
            // A worker that is given a job of a recording that it knows, for another model
            role.begin_attempt(&corrected.clone().with_model("other").job(), "w").await?;
        } else {
            role.register(&batch, &[corrected.job()], false).await?;
        }
        let at_team: i64 = sqlx::query_scalar("SELECT count(*) FROM channels WHERE team = $1 AND called_at = $2")
            .bind(team)
            .bind(corrected.started_at())
            .fetch_one(producer.pool())
            .await?;
        assert_eq!(at_team, 2, "team {team}");
    }
    worker
        .record_failed(&Call::new("b.wav").job(), &domain::Failure::new(FailureCode::AudioEmpty, "none"), "w", None)
        .await?;
    assert_eq!(
        worker.prune(&[call.job().job_id]).await.expect_err("workers delete no calls").code,
        FailureCode::DatabaseRefused
    );
    // Readers see every view and change nothing
    let reader = as_role(&test, "emofleet_reader").await?;
    let angry: i64 = sqlx::query_scalar("SELECT count(*) FROM angry_calls").fetch_one(reader.pool()).await?;
    assert_eq!(angry, 1);
    assert!(sqlx::query("UPDATE recordings SET team = '9'").execute(reader.pool()).await.is_err());
    // Producers import reviews, and forget
    let review = call.review();
    for new in [1, 0] {
        assert_eq!(producer.import_reviews(std::slice::from_ref(&review), Import::Whole).await?.new, new);
    }
    let age = Age { before: Utc::now(), ingested_too: false };
    assert_eq!(producer.count_expired(age).await?.reviews, 1);
    let jobs = [call.job().job_id, call.with_model("other").job().job_id];
    assert_eq!(producer.claim(&jobs, OpenJobs::Delete).await?.len(), 2);
    assert_eq!(producer.prune(&jobs).await?.recordings, 1);
    assert_eq!(producer.drop_empty_months(Utc::now()).await?, 4);
    Ok(())
}

/// Every role.
const ALL: [&str; 5] =
    ["emofleet_worker", "emofleet_producer", "emofleet_dispatcher", "emofleet_reader", "emofleet_console"];

/// What a role must not read or change, whatever it is for.
#[tokio::test]
async fn no_role_reads_what_is_none_of_its_business() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    test.database.grant_roles(&test.settings).await?;
    let refused: [(&str, &[&str]); 10] = [
        ("SELECT payload FROM outbox", &["worker", "producer", "reader", "console"]),
        ("SELECT * FROM outbox", &["worker", "producer", "reader", "console"]),
        ("SELECT to_jsonb(o) FROM outbox o", &["worker", "producer", "reader", "console"]),
        ("SELECT password_hash FROM console_users", &["worker", "producer", "reader", "dispatcher"]),
        ("SELECT 1 FROM console_requests", &["worker", "producer", "reader", "dispatcher"]),
        ("SELECT 1 FROM console_submissions", &["worker", "producer", "reader", "dispatcher"]),
        ("SELECT who FROM audit", &["worker", "producer", "dispatcher"]),
        ("DELETE FROM audit", &["worker", "producer", "dispatcher", "reader", "console"]),
        ("DELETE FROM recordings", &["worker", "dispatcher", "reader"]),
        ("CREATE TABLE own (id int)", &["worker", "producer", "dispatcher", "reader", "console"]),
    ];
    for role in ALL {
        let mut connection = test.connection().await?;
        sqlx::raw_sql(AssertSqlSafe(format!("SET ROLE {role}"))).execute(&mut connection).await?;
        for (statement, roles) in refused {
            let outcome =
                sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {statement}; ROLLBACK"))).execute(&mut connection).await;
            sqlx::raw_sql("ROLLBACK").execute(&mut connection).await?;
            let is_refused = roles.contains(&role.trim_start_matches("emofleet_"));
            assert_eq!(outcome.is_err(), is_refused, "{role}: {statement}: {outcome:?}");
        }
        // What became of each message is for all.
        sqlx::query("SELECT id, destination, delivered_at FROM outbox").execute(&mut connection).await?;
        sqlx::query("SELECT * FROM alert_deliveries").execute(&mut connection).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_runs_with_the_owners_rights_is_for_those_who_need_it() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let functions = "SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND prosecdef ORDER BY 1";
    let functions: Vec<String> = sqlx::query_scalar(functions).fetch_all(test.database.pool()).await?;
    assert_eq!(functions.len(), 4, "{functions:?}");
    // As after a restore without privileges
    for function in &functions {
        let open = format!("GRANT EXECUTE ON FUNCTION {function} TO PUBLIC");
        sqlx::raw_sql(AssertSqlSafe(open)).execute(test.database.pool()).await?;
    }
    test.database.grant_roles(&test.settings).await?;
    for role in ALL {
        for function in &functions {
            let allowed = match function.split('(').next() {
                Some("segments_month") => ["emofleet_worker", "emofleet_producer", "emofleet_console"].contains(&role),
                Some("segments_drop_empty_months") => role == "emofleet_producer",
                _ => false,
            };
            let may: bool = sqlx::query_scalar("SELECT has_function_privilege($1, $2, 'EXECUTE')")
                .bind(role)
                .bind(function)
                .fetch_one(test.database.pool())
                .await?;
            assert_eq!(may, allowed, "{role}: {function}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn readers_ask_every_question_of_the_cookbook() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    test.database.grant_roles(&test.settings).await?;
    let mut reader = test.connection().await?;
    sqlx::raw_sql("SET ROLE emofleet_reader").execute(&mut reader).await?;
    let values = |name: &str| match name {
        "since" | "until" | "day" => "2025-03-10".to_owned(),
        _ => "7".to_owned(),
    };
    for question in questions() {
        let given: Vec<_> = question.parameters().into_iter().map(|name| (name, values(name))).collect();
        let given: Vec<_> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let sql = question.with(&given).map_err(anyhow::Error::msg)?;
        let answer = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut reader).await;
        assert!(answer.is_ok(), "{}. {}: {answer:?}", question.number, question.title);
    }
    Ok(())
}

/// Runs psql on the database of a test as a role; gives whether it succeeded, and what it said.
fn psql(test: &TestDatabase, role: &str) -> anyhow::Result<(bool, String)> {
    let file = tests::repository::root().join("migrations/grants.sql");
    let output = Command::new("psql")
        .arg(test.settings.url.expose_secret().split('?').next().unwrap_or_default())
        .args(["-X", "-q", "-f"])
        .arg(file)
        .env("PGOPTIONS", format!("-c role={role}"))
        .output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[tokio::test]
async fn grants_are_given_as_a_whole_or_the_missing_right_is_named() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let name = format!("helper_{}", uuid::Uuid::new_v4().simple());
    let mut owner = test.connection().await?;
    let me: String = sqlx::query_scalar("SELECT current_user").fetch_one(&mut owner).await?;
    let (granted, said) = psql(&test, &me)?;
    assert!(granted, "{said}");
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE ROLE {name} NOLOGIN"))).execute(&mut owner).await?;
    let rights = "SELECT count(*) FROM information_schema.role_table_grants WHERE grantee LIKE 'emofleet\\_%'";
    let before = test.count(rights).await?;
    let outcome = async {
        // A stranger: every table is somebody else's.
        let (granted, said) = psql(&test, &name)?;
        assert!(!granted && said.contains("does not own these tables") && said.contains("analyses"), "{said}");
        // The owner of all but one table, which is the one that is named; nothing is granted or taken back meanwhile.
        let alone = format!("ALTER TABLE watches OWNER TO {name}; GRANT {name} TO {me}");
        sqlx::raw_sql(AssertSqlSafe(alone)).execute(&mut owner).await?;
        let (granted, said) = psql(&test, &name)?;
        assert!(!granted && !said.contains("watches") && said.contains("analyses"), "{said}");
        assert_eq!(test.count(rights).await?, before);
        anyhow::Ok(())
    };
    let outcome = outcome.await;
    let clean = format!("ALTER TABLE watches OWNER TO {me}; DROP OWNED BY {name}; DROP ROLE {name}");
    sqlx::raw_sql(AssertSqlSafe(clean)).execute(&mut owner).await?;
    outcome?;
    // An empty database
    let empty = TestDatabase::create_empty().await?;
    let (granted, said) = psql(&empty, &me)?;
    assert!(!granted && said.contains("producer migrate"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_by_the_program_that_lacks_it() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    test.database.grant_roles(&test.settings).await?;
    let dispatcher = as_role(&test, "emofleet_dispatcher").await?;
    let failure = dispatcher.prune(&[Call::new("a.wav").job().job_id]).await.expect_err("it may not");
    assert_eq!(failure.code, FailureCode::DatabaseRefused);
    assert!(
        failure.message.contains("permission denied for table") && failure.message.contains("producer migrate --roles"),
        "{failure}"
    );
    Ok(())
}

/// Who a user of the database is, when this password is accepted.
async fn logged_in(base: &postgres::Settings, user: &str, password: &str) -> Result<String, domain::Failure> {
    let settings = postgres::Settings { user: user.into(), password: password.into(), ..base.clone() };
    let database = Database::connect(&settings).await?;
    Ok(sqlx::query_scalar("SELECT current_user::text").fetch_one(database.pool()).await.expect("an answer"))
}

/// On a server of its own, since roles are the whole server's.
#[tokio::test]
async fn a_role_logs_in_with_the_password_of_the_settings_and_the_server_never_sees_it() -> anyhow::Result<()> {
    let server = OwnPostgres::start()?;
    let owner = server.admin_settings()?;
    let database = Database::connect(&owner).await?;
    database.migrate().await?;
    // Unicode has several spellings of the same text: both sides normalise it.
    for password in ["it's \"$1\" \\ %20", "密码 \u{c5}\u{a0}x", "1"] {
        let settings = postgres::Settings { reader_password: password.into(), ..owner.clone() };
        assert_eq!(database.grant_roles(&settings).await?, ["emofleet_reader"]);
        assert_eq!(logged_in(&owner, "emofleet_reader", password).await?, "emofleet_reader");
        let refused = logged_in(&owner, "emofleet_reader", "another").await.expect_err("a wrong password");
        assert_eq!(refused.code, FailureCode::DatabaseRefused);
    }
    // Without a password in the settings, that of before stays.
    assert!(database.grant_roles(&owner).await?.is_empty());
    assert_eq!(logged_in(&owner, "emofleet_reader", "1").await?, "emofleet_reader");
    let stored: String = sqlx::query_scalar("SELECT rolpassword FROM pg_authid WHERE rolname = 'emofleet_reader'")
        .fetch_one(database.pool())
        .await?;
    assert!(stored.starts_with("SCRAM-SHA-256$"), "{stored}");
    Ok(())
}

#[tokio::test]
async fn a_grant_that_is_refused_says_what_is_missing_and_two_at_once_are_both_done() -> anyhow::Result<()> {
    let empty = TestDatabase::create_empty().await?;
    let refused = empty.database.grant_roles(&empty.settings).await.expect_err("no tables");
    assert!(
        refused.message.contains("the tables of emofleet") && refused.message.contains("producer migrate"),
        "{refused}"
    );
    empty.database.migrate().await?;
    let (one, two) =
        tokio::join!(empty.database.grant_roles(&empty.settings), empty.database.grant_roles(&empty.settings));
    one.and(two)?;
    let worker = as_role(&empty, "emofleet_worker").await?;
    assert_eq!(worker.begin_attempt(&Call::new("a.wav").job(), "w").await?.begun().map(|begun| begun.number), Some(1));
    Ok(())
}
