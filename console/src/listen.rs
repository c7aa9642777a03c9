//! Connections: accepted, served with a time limit on the head of each request, and drained at the end.

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after an error of the listener: most of them, such as too many open files, pass.
const AGAIN: Duration = Duration::from_millis(200);

/// How long a reader may leave what was sent to it unread: it would hold an answer in memory, and a turn to have one, for as long as it
/// likes. What waits for its next event has read all that there was.
const LONGEST_UNREAD: Duration = Duration::from_secs(120);

/// Serves until `stop`; then answers the requests in progress. A head that takes longer than `head` to arrive closes its
/// connection: slow clients would hold as many as they like.
pub(crate) async fn serve(listener: TcpListener, routes: Router, head: Duration, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                close_when_unread(&stream, LONGEST_UNREAD);
                connections.spawn(connection(stream, peer, routes.clone(), head, stop.clone()));
            }
            Err(error) => {
                tracing::debug!(%error, "a connection can't be accepted");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Has the system close the connection when its reader takes nothing for this long of what was sent to it.
fn close_when_unread(stream: &TcpStream, longest: Duration) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(longest)) {
        tracing::debug!(%error, "a connection has no time limit for its reader");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, longest);
}

async fn connection(stream: TcpStream, peer: SocketAddr, routes: Router, head: Duration, stop: CancellationToken) {
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        routes.call(request)
    });
    let mut serving = http1::Builder::new();
    serving.timer(TokioTimer::new()).header_read_timeout(head);
    let mut serving = std::pin::pin!(serving.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection ended");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_connection_whose_reader_takes_nothing_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let _reader = TcpStream::connect(listener.local_addr().expect("its address")).await.expect("connected");
        let (mut stream, _) = listener.accept().await.expect("accepted");
        close_when_unread(&stream, Duration::from_secs(1));
        let writing = async {
            loop {
                if let Err(error) = stream.write_all(&[7; 1 << 13]).await {
                    return error;
                }
            }
        };
        let error = tokio::time::timeout(Duration::from_secs(60), writing).await.expect("closed in time");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
}
