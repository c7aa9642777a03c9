//! What other users of the machine can reach of the stack's private services: nothing without a password, token or certificate.

use adapters::s3::Store;
use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use reqwest::Client;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use tests::own_broker::OwnBroker;
use tests::own_postgres::OwnPostgres;
use tests::own_s3::OwnS3;

/// Rights of group and others on a path.
fn rights_of_others(path: &Path) -> Result<u32> {
    Ok(std::fs::symlink_metadata(path)?.permissions().mode() & 0o077)
}

/// Everything below a folder that is no link and that others may use, apart from what others can't reach.
fn open_to_others(folder: &Path, open: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_symlink() {
            continue;
        }
        // SeaweedFS writes these with a mode of its own; they have sizes, no content.
        if rights_of_others(&path)? != 0 && path.extension().is_none_or(|ending| ending != "vif") {
            open.push(path.display().to_string());
        }
        if kind.is_dir() {
            open_to_others(&path, open)?;
        }
    }
    Ok(())
}

fn is_private(folder: &Path) -> Result<()> {
    ensure!(rights_of_others(folder)? == 0, "{} has rights for others", folder.display());
    let mut open = Vec::new();
    open_to_others(folder, &mut open)?;
    ensure!(open.is_empty(), "open to others: {open:?}");
    Ok(())
}

#[tokio::test]
async fn the_object_store_is_reached_by_its_keys_alone() -> Result<()> {
    let server = OwnS3::start()?;
    let (store, bucket) = (Store::new(&server.settings()?)?, "calls");
    store.ensure_bucket(bucket).await?;
    let sound = vec![7_u8; 3 << 20];
    store.put_bytes(bucket, "a/b.wav", sound.clone(), "audio/wav").await?;
    ensure!(store.get_bytes(bucket, "a/b.wav", 8 << 20).await? == sound, "the gateway reaches its own components");

    let client = Client::new();
    let asked = [
        ("s3", "calls/a/b.wav"),
        ("s3_filer", "buckets/calls/a/b.wav"),
        ("s3_filer", "buckets/calls/?pretty=y"),
        ("s3_filer", ""),
        ("s3_master", "dir/assign"),
        ("s3_master", "dir/assign?collection=calls"),
        ("s3_master", "dir/status"),
        ("s3_master", "dir/lookup?volumeId=1"),
        ("s3_master", "vol/grow?count=1"),
        ("s3_master", "vol/status"),
        ("s3_master", "col/delete?collection=calls"),
        ("s3_volume", "1,01637037d6"),
        ("s3_volume", "2,02637037d6"),
    ];
    for (component, path) in asked {
        let url = format!("http://127.0.0.1:{}/{path}", server.port(component)?);
        for request in
            [client.get(&url), client.delete(&url), client.post(&url).body("evil"), client.put(&url).body("evil")]
        {
            let status = request.send().await.with_context(|| url.clone())?.status();
            ensure!(status.is_client_error(), "{url}: {status}");
        }
    }
    // Every gRPC port speaks TLS, and ends the conversation with who has no certificate of this stack.
    for component in ["s3_grpc", "s3_master_grpc", "s3_filer_grpc", "s3_volume_grpc"] {
        let address = format!("127.0.0.1:{}", server.port(component)?);
        let arguments = ["20", "openssl", "s_client", "-connect", &address, "-alpn", "h2", "-ign_eof"];
        let said = Command::new("timeout").args(arguments).stdin(std::process::Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        ensure!(
            said.contains("alert certificate required"),
            "{component} ({address}) takes a client without a certificate:\n{said}"
        );
    }
    let found: Vec<_> = store.list(bucket, "").collect().await;
    ensure!(found.len() == 1, "nothing was changed: {found:?}");
    is_private(server.folder())
}

#[tokio::test]
async fn queues_and_rows_are_their_owners_alone() -> Result<()> {
    let broker = OwnBroker::start()?;
    is_private(broker.folder())?;
    let cookie = broker.folder().join("rabbitmq/.erlang.cookie");
    ensure!(std::fs::metadata(cookie)?.permissions().mode() & 0o777 == 0o400, "the cookie");
    // Neither the broker's default user nor a user without a password gets in.
    for user in ["guest:guest", "emofleet:", "emofleet:emofleet"] {
        let mut settings = broker.settings()?;
        let port = broker.port()?;
        settings.url = format!("amqp://{user}@127.0.0.1:{port}/emofleet").into();
        let refused = adapters::amqp::depths(&settings, &["m"]).await.expect_err(user);
        ensure!(refused.code == domain::FailureCode::BrokerRefused, "{user}: {refused}");
    }
    let server = OwnPostgres::start()?;
    is_private(server.folder())?;
    let data = server.folder().join("postgres").canonicalize()?;
    ensure!(rights_of_others(&data)? == 0, "{}", data.display());
    for (user, password) in [("postgres", ""), ("emofleet", ""), ("postgres", "postgres"), ("emofleet", "emofleet")] {
        let options = PgConnectOptions::new().host("127.0.0.1").port(server.port()?).username(user).password(password);
        let refused = options.database("postgres").connect().await;
        ensure!(refused.is_err(), "{user} gets in with the password `{password}`");
    }
    Ok(())
}
