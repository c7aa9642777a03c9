//! One connection to the broker, plain or TLS, opened within a time limit.

use domain::{Failure, FailureCode};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::tcp::{AsyncTcpStream, RustlsConnector, RustlsConnectorConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, ErrorKind};
use secrecy::ExposeSecret;
use std::path::Path;
use std::time::Duration;

use super::Settings;
use super::topology::Topology;
use crate::cause;

/// Time for TCP, TLS and the AMQP handshake together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Time for closing a connection: a broker that is short of memory, or frozen, never answers.
const CLOSING: Duration = Duration::from_secs(5);

/// Closes a connection. One that fails to close costs nothing: the broker ends it when its socket is gone.
pub(super) async fn close(connection: &Connection, why: &str) {
    let _ = tokio::time::timeout(CLOSING, connection.close(200, why.into())).await;
}

/// Opens a connection named `name`, as `rabbitmqctl list_connections` shows it.
///
/// # Errors
/// `broker.unreachable`, `broker.refused`; `config.invalid` names the setting.
pub(super) async fn open(settings: &Settings, name: &str) -> Result<Connection, Failure> {
    let invalid = |what: &str| Failure::new(FailureCode::ConfigInvalid, what);
    if !Topology::new(settings).fits() {
        return Err(invalid(
            "`amqp.prefix` is too long: the names of the queues would exceed 255 bytes; take at most 173",
        ));
    }
    let url: Result<AMQPUri, String> = settings.url.expose_secret().parse();
    let mut uri = url.map_err(|_| invalid("`amqp.url` is no valid AMQP URL"))?;
    uri.query.heartbeat.get_or_insert(settings.heartbeat_s);
    let credentials = &mut uri.authority.userinfo;
    if !settings.user.is_empty() {
        credentials.username.clone_from(&settings.user);
    }
    if !settings.password.expose_secret().is_empty() {
        settings.password.expose_secret().clone_into(&mut credentials.password);
    }
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

/// The authorities to trust: the named one alone, or else the system's.
async fn trust(ca_file: &Path) -> Result<RustlsConnector, Failure> {
    let invalid = |what: String| Failure::new(FailureCode::ConfigInvalid, what);
    let refused = |e: std::io::Error| invalid(format!("preparing TLS to RabbitMQ: {e}"));
    let settings = if ca_file.as_os_str().is_empty() {
        RustlsConnectorConfig::new_with_native_certs().map_err(refused)?
    } else {
        let unread = |e: String| invalid(format!("`amqp.ca_file` {}: {e}", ca_file.display()));
        let pem = tokio::fs::read(ca_file).await.map_err(|e| unread(e.to_string()))?;
        let authorities = crate::pem::certificates(&pem).map_err(unread)?;
        let mut settings = RustlsConnectorConfig::default();
        settings.add_parsable_certificates(authorities);
        settings
    };
    settings.connector_with_no_client_auth().map_err(refused)
}

/// The broker does not answer, or broke off.
pub(super) fn unreachable(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::BrokerUnreachable, message)
}

/// The broker answers and says no.
pub(super) fn refused(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::BrokerRefused, message)
}

/// The client library's error, with what was being done; with advice where the broker refuses.
pub(super) fn failure(doing: &str, error: &lapin::Error) -> Failure {
    match refusal(error) {
        Some(advice) => refused(format!("{doing}: {error}; {advice}")),
        None => unreachable(format!("{doing}: {error}")),
    }
}

/// What to check, where the error is a refusal that waiting does not change.
fn refusal(error: &lapin::Error) -> Option<&'static str> {
    if cause::tls(error).is_some() {
        return Some("check `amqp.ca_file` and the host in `amqp.url`");
    }
    let ErrorKind::ProtocolError(answer) = error.kind() else { return None };
    match answer.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
            Some("check user, password and permissions (`amqp.url`, `amqp.user`, `amqp.password`)")
        }
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => Some("check the vhost in `amqp.url`"),
        // The same code also says that a consumer held a job for too long.
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)
            if answer.get_message().as_str().contains("inequivalent") =>
        {
            Some("a queue of this name exists with other properties: delete it or choose another `amqp.prefix`")
        }
        _ => None,
    }
}
