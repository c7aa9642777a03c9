//! A TCP proxy that injects faults, between a worker and a service on loopback.

use adapters::boxed;
use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

/// How the proxy treats connections, open ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes.
    Pass,
    /// Connections break and new ones are refused.
    Cut,
    /// No byte moves, and no connection closes.
    Stall,
    /// The service's answers pass, 16 KiB at most each time, after a pause.
    Slow(Duration),
    /// HTTP: every request is answered 503.
    Unavailable,
    /// HTTP: requests whose head contains `to` get this answer, all when it is empty; the others pass.
    Answer {
        /// Part of a request's head, such as the end of a key.
        to: &'static str,
        /// Like `403 Forbidden`.
        status: &'static str,
        /// Content type.
        kind: &'static str,
        /// Body.
        body: &'static str,
    },
    /// The service's answers break off after this many bytes of a connection.
    CutAfter(usize),
    /// The client's requests break off after this many bytes of a connection.
    CutRequestsAfter(usize),
}

/// Listens on a free port of loopback and forwards to `upstream`.
#[derive(Debug)]
pub struct Proxy {
    /// Where to connect instead of the service.
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// Starts to forward. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When no port is free.
    #[boxed]
    pub async fn to(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (mode, modes) = watch::channel(Mode::Pass);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let modes = modes.clone();
                tokio::spawn(async move {
                    // An error is a broken connection, which is what this is for.
                    let _ = connection(client, upstream, modes).await;
                });
            }
        });
        Ok(Self { address, mode })
    }

    /// Starts to forward to the port of this URL on loopback. Gives the URL with the proxy's port instead, too.
    ///
    /// # Errors
    /// When the URL has no port, or no port is free.
    #[boxed]
    pub async fn before(url: &str) -> Result<(Self, String)> {
        let mut url: Url = url.parse()?;
        let port = url.port().context("the test stack's URLs have ports")?;
        let proxy = Self::to(([127, 0, 0, 1], port).into()).await?;
        ensure!(url.set_port(Some(proxy.address.port())).is_ok(), "{url} takes no port");
        Ok((proxy, url.to_string().trim_end_matches('/').to_owned()))
    }

    /// Changes how connections are treated from now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn connection(mut client: TcpStream, upstream: SocketAddr, mut modes: watch::Receiver<Mode>) -> Result<()> {
    let mode = *modes.borrow_and_update();
    match mode {
        Mode::Cut => return Ok(()),
        Mode::Unavailable => return unavailable(&mut client).await,
        Mode::Answer { to: "", .. } => {
            read_request(&mut client).await?;
            return answer(&mut client, mode).await;
        }
        Mode::Answer { .. }
        | Mode::Pass
        | Mode::Stall
        | Mode::Slow(_)
        | Mode::CutAfter(_)
        | Mode::CutRequestsAfter(_) => {}
    }
    let mut server = TcpStream::connect(upstream).await?;
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    let (mut asked, mut answered) = (0, 0);
    loop {
        let mode = *modes.borrow_and_update();
        if matches!(mode, Mode::Cut | Mode::Unavailable | Mode::Answer { to: "", .. }) {
            return Ok(());
        }
        if mode == Mode::Stall {
            modes.changed().await?;
            continue;
        }
        tokio::select! {
            changed = modes.changed() => changed?,
            n = client.read(&mut up) => match n? {
                0 => return Ok(()),
                n => {
                    asked += n;
                    if matches!(mode, Mode::Answer { to, .. } if String::from_utf8_lossy(&up[..n]).contains(to)) {
                        return answer(&mut client, mode).await;
                    }
                    server.write_all(&up[..n]).await?;
                    if matches!(mode, Mode::CutRequestsAfter(limit) if asked > limit) {
                        return Ok(());
                    }
                }
            },
            n = server.read(&mut down) => match n? {
                0 => return Ok(()),
                n => {
                    answered += n;
                    if let Mode::Slow(pause) = mode {
                        tokio::time::sleep(pause).await;
                    }
                    client.write_all(&down[..n]).await?;
                    if matches!(mode, Mode::CutAfter(limit) if answered > limit) {
                        return Ok(());
                    }
                }
            },
        }
    }
}

/// Reads one request's head, says 503 and closes.
async fn unavailable(client: &mut TcpStream) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 64 << 10 {
        head.push(client.read_u8().await?);
    }
    client.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
    Ok(client.shutdown().await?)
}

/// Reads one request with its body: a client that is answered before it has sent all may not look at the answer.
async fn read_request(client: &mut TcpStream) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 64 << 10 {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<u64>().ok());
    tokio::io::copy(&mut client.take(length.unwrap_or_default()), &mut tokio::io::sink()).await?;
    Ok(())
}

/// Gives the answer of [`Mode::Answer`] and closes.
async fn answer(client: &mut TcpStream, mode: Mode) -> Result<()> {
    let Mode::Answer { status, kind, body, .. } = mode else { return Ok(()) };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).await?;
    client.write_all(body.as_bytes()).await?;
    Ok(client.shutdown().await?)
}
