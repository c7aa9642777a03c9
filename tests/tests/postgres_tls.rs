//! Postgres over TLS: spoken to the named authority's certificate, and to no other.

use adapters::postgres::Database;
use anyhow::{Context, Result};
use domain::FailureCode;
use tests::own_postgres::OwnPostgres;
use tests::tls::Authority;

#[tokio::test]
async fn postgres_with_a_wrong_certificate_is_refused() -> Result<()> {
    // given a server with a certificate of our authority for its address
    let (ours, strangers) = (Authority::new()?, Authority::new()?);
    let server = OwnPostgres::start()?;
    let (certificate, key) = ours.certify("IP:127.0.0.1")?;
    server.turn_on_tls(&certificate, &key).await?;
    let (our_file, strangers_file) = (ours.file(), strangers.file());
    let ours = our_file.to_str().context("plain text")?;
    let strangers = strangers_file.to_str().context("plain text")?;
    // then whoever names the authority and the address is served, by TLS
    let settings = server.settings("127.0.0.1", &[("sslmode", "verify-full"), ("sslrootcert", ours)])?;
    let database = Database::connect(&settings).await?;
    let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert!(sqlx::query_scalar::<_, bool>(query).fetch_one(database.pool()).await?, "in the clear");
    database.migrate().await?;
    database.close().await;
    // and nobody else's certificate is taken, nor ours under another name, nor one of an unknown authority
    let refusals = [
        ("127.0.0.1", vec![("sslmode", "verify-full"), ("sslrootcert", strangers)], "invalid peer certificate"),
        ("127.0.0.1", vec![("sslmode", "verify-ca"), ("sslrootcert", strangers)], "invalid peer certificate"),
        ("localhost", vec![("sslmode", "verify-full"), ("sslrootcert", ours)], "not valid for name"),
        ("127.0.0.1", vec![("sslmode", "verify-full")], "UnknownIssuer"),
        ("127.0.0.1", vec![("sslmode", "verify-full"), ("sslrootcert", "/no/such/ca.pem")], "sslrootcert"),
    ];
    for (host, parameters, why) in refusals {
        let settings = server.settings(host, &parameters)?;
        let failure = Database::connect(&settings).await.expect_err("must be refused");
        // A file that is missing looks like a socket that is not there yet; `Settings::check` finds it at start.
        let missing = parameters.contains(&("sslrootcert", "/no/such/ca.pem"));
        let code = if missing { FailureCode::DatabaseUnreachable } else { FailureCode::DatabaseRefused };
        assert_eq!(failure.code, code, "{host} {parameters:?}: {failure}");
        assert!(failure.message.contains("TLS") && failure.message.contains(why), "{host} {parameters:?}: {failure}");
        assert!(!failure.message.contains("postgres://"), "the URL holds a password: {failure}");
        // and the pool, which connects later, gets no further
        assert!(Database::lazy(&settings)?.ping().await.is_err(), "{host} {parameters:?}");
    }
    // The same name of the host does where only the authority is asked for.
    let settings = server.settings("localhost", &[("sslmode", "verify-ca"), ("sslrootcert", ours)])?;
    Database::connect(&settings).await?;
    Ok(())
}
