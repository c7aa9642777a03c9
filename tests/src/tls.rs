//! TLS before a plain service: an authority made with openssl, and a front that ends TLS.

use adapters::boxed;
use anyhow::{Context, Result, bail};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

/// A certificate authority of one test's own.
#[derive(Debug)]
pub struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// When openssl is missing or refuses.
    pub fn new() -> Result<Self> {
        let authority = Self { folder: tempfile::tempdir()? };
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=trial-authority \
             -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign",
        )?;
        Ok(authority)
    }

    /// Its certificate: what clients are given as `ca_file`.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Files of a server's certificate and key for these subject alternative names, like `IP:127.0.0.1`.
    /// The next call replaces them.
    ///
    /// # Errors
    /// When openssl refuses.
    pub fn certify(&self, names: &str) -> Result<(PathBuf, PathBuf)> {
        let folder = self.folder.path();
        let extensions = format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n");
        std::fs::write(folder.join("server.ext"), extensions)?;
        self.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout server.key -out server.csr",
        )?;
        self.openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem")?;
        Ok((folder.join("server.pem"), folder.join("server.key")))
    }

    fn issue(&self, names: &str) -> Result<ServerConfig> {
        let (certificate, key) = self.certify(names)?;
        let (certificate, key) = (CertificateDer::from_pem_file(certificate)?, PrivateKeyDer::from_pem_file(key)?);
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(config.with_no_client_auth().with_single_cert(vec![certificate], key)?)
    }

    /// Listens on a free port of loopback, with a certificate for `names`, and passes what comes
    /// on to `upstream` in the clear. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the certificate can't be made.
    #[boxed]
    pub async fn front(&self, names: &str, upstream: SocketAddr) -> Result<SocketAddr> {
        let acceptor = TlsAcceptor::from(Arc::new(self.issue(names)?));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that refuses the certificate is what some tests are about.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Ok(address)
    }

    fn openssl(&self, arguments: &str) -> Result<()> {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .context("openssl can't be run")?;
        if !output.status.success() {
            bail!("openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}
