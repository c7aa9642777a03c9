//! The schema: made once by several programs, refused where it is another one, and in agreement with the code.

use domain::alert::Subject;
use domain::{Emotion, FailureCode};
use tests::calls::Call;
use tests::database::TestDatabase;

#[tokio::test]
async fn without_the_schema_the_advice_is_to_migrate() -> anyhow::Result<()> {
    let test = TestDatabase::create_empty().await?;
    let refused = test.database.begin_attempt(&Call::angry("a.wav").job(), "w").await.expect_err("no tables");
    assert_eq!(refused.code, FailureCode::DatabaseNotMigrated);
    assert!(refused.message.contains("producer migrate"), "{refused}");
    assert_eq!(test.database.check_schema().await.expect_err("no tables").code, FailureCode::DatabaseNotMigrated);
    // and two programs may migrate at the same moment
    tokio::try_join!(test.database.migrate(), test.database.migrate())?;
    test.database.check_schema().await?;
    Ok(())
}

#[tokio::test]
async fn migrations_are_numbered_from_one_without_gaps() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let versions: Vec<i64> = sqlx::query_scalar("SELECT version FROM _sqlx_migrations ORDER BY version")
        .fetch_all(test.database.pool())
        .await?;
    assert_eq!(versions, (1..=versions.len() as i64).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_database_from_before_the_first_release_is_refused_and_left_as_it_is() -> anyhow::Result<()> {
    // Given one that was migrated to the end, and one that was not
    for applied in [11, 3] {
        let test = TestDatabase::create_empty().await?;
        sqlx::raw_sql(include_str!("postgres_migrations/before_0.1.0.sql")).execute(test.database.pool()).await?;
        sqlx::query(
            "DELETE FROM _sqlx_migrations WHERE version > (SELECT max(version) FROM
                (SELECT version FROM _sqlx_migrations ORDER BY version LIMIT $1) kept)",
        )
        .bind(applied)
        .execute(test.database.pool())
        .await?;
        for refused in [test.database.migrate().await, test.database.check_schema().await] {
            let failure = refused.expect_err("other migrations");
            assert_eq!(failure.code, FailureCode::DatabaseRefused);
            for advice in ["before 0.1.0", "create a new one", "`producer migrate`", "migrations/README.md"] {
                assert!(failure.message.contains(advice), "{failure}");
            }
        }
        assert_eq!(test.count("SELECT count(*) FROM _sqlx_migrations").await?, applied);
        assert_eq!(test.count("SELECT count(*) FROM pg_class WHERE relname = 'batches'").await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn the_database_and_the_programs_agree_on_emotions() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let pool = test.database.pool();
    let mut negative = Vec::new();
    for emotion in Emotion::ALL {
        let query = sqlx::query_scalar("SELECT is_negative($1::text::emotion)").bind(emotion.label());
        if query.fetch_one(pool).await? {
            negative.push(emotion);
        }
    }
    assert_eq!(negative, Emotion::NEGATIVE);
    assert!(sqlx::query("SELECT 'furious'::emotion").execute(pool).await.is_err(), "no other label is accepted");
    // and the group of that name in the alert file is the same
    let rules = settings::alert_file::parse(
        "[[rule]]\nname = \"n\"\nseverity = \"info\"\nwhen = { group = \"negative\", in_a_row = 1 }",
    )?;
    for emotion in Emotion::ALL {
        let report = Call::new("a.wav").with_timeline(&[(4.0, emotion, 0.9)]).report();
        let matched = !rules.evaluate(Subject::from(&report)).is_empty();
        assert_eq!(matched, Emotion::NEGATIVE.contains(&emotion), "{emotion}");
    }
    Ok(())
}
