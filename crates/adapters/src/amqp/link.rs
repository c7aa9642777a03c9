//! One connection to the broker, plain or TLS, opened within a time limit.

use domain::{Failure, FailureCode};
use lapin::tcp::{AsyncTcpStream, RustlsConnector, RustlsConnectorConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use secrecy::ExposeSecret;
use std::path::Path;
use std::time::Duration;

use super::Settings;

/// Time for TCP, TLS and the AMQP handshake together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// AMQP's short strings end at 255 bytes; the longest suffix of ours is far below the rest.
const MAX_PREFIX_BYTES: usize = 200;

/// Opens a connection named `name`, as the broker's own listing shows it.
pub(super) async fn open(settings: &Settings, name: &str) -> Result<Connection, Failure> {
    if settings.prefix.len() > MAX_PREFIX_BYTES {
        return Err(unreachable(format!("`amqp.prefix` is longer than {MAX_PREFIX_BYTES} bytes")));
    }
    let mut uri: AMQPUri =
        settings.url.expose_secret().parse().map_err(|e| unreachable(format!("`amqp.url` can't be read: {e}")))?;
    uri.query.heartbeat.get_or_insert(settings.heartbeat_s);
    let place = format!("{}:{}", uri.authority.host, uri.authority.port);
    let tls = match uri.scheme {
        AMQPScheme::AMQP => None,
        AMQPScheme::AMQPS => Some(trust(&settings.ca_file).await?),
    };
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let runtime = lapin::runtime::default_runtime().map_err(|e| failure("starting the AMQP client", &e))?;
    let connecting = Connection::connector(
        uri,
        runtime,
        async move |uri, runtime| {
            // No time limits in here: this runs on the client's own thread, where Tokio's timers
            // panic once the runtime is ending. The limit around all of it serves.
            let to = runtime.to_socket_addrs((uri.authority.host.clone(), uri.authority.port));
            let stream = AsyncTcpStream::connect(&runtime, to).await?;
            match &tls {
                None => Ok(stream),
                Some(connector) => stream.into_rustls(connector, &uri.authority.host).await.map_err(Into::into),
            }
        },
        properties,
    );
    match tokio::time::timeout(OPEN_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(e)) => Err(failure(&format!("connecting to RabbitMQ at {place}"), &e)),
        Err(_) => Err(unreachable(format!("RabbitMQ at {place} did not answer within {} s", OPEN_TIMEOUT.as_secs()))),
    }
}

/// Whom to trust: the named authority alone, or else the system's.
async fn trust(ca_file: &Path) -> Result<RustlsConnector, Failure> {
    let refused = |e: std::io::Error| unreachable(format!("preparing TLS to RabbitMQ: {e}"));
    let settings = if ca_file.as_os_str().is_empty() {
        RustlsConnectorConfig::new_with_native_certs().map_err(refused)?
    } else {
        let unread = |e: String| unreachable(format!("`amqp.ca_file` {}: {e}", ca_file.display()));
        let pem = tokio::fs::read(ca_file).await.map_err(|e| unread(e.to_string()))?;
        let authorities = crate::pem::certificates(&pem).map_err(unread)?;
        let mut settings = RustlsConnectorConfig::default();
        settings.add_parsable_certificates(authorities);
        settings
    };
    settings.connector_with_no_client_auth().map_err(refused)
}

/// A broker's failure in words.
pub(super) fn unreachable(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::BrokerUnreachable, message)
}

/// What the client library says, with what we were doing; a hint where one helps.
pub(super) fn failure(doing: &str, error: &lapin::Error) -> Failure {
    let text = error.to_string();
    let hint = if text.contains("PRECONDITION") {
        "; a queue of this name exists with other properties: delete it or choose another `amqp.prefix`"
    } else if text.contains("ACCESS_REFUSED") || text.contains("ACCESS-REFUSED") {
        "; check user, password and permissions in `amqp.url`"
    } else if text.contains("NOT_ALLOWED") || text.contains("NOT-ALLOWED") {
        "; check the vhost in `amqp.url`"
    } else {
        ""
    };
    unreachable(format!("{doing}: {text}{hint}"))
}
