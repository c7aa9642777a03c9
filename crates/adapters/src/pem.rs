//! Certificates of a private authority, read from a PEM file.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// The certificates in PEM text; at least one.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| format!("is not a PEM file: {e}"))?;
    if certificates.is_empty() {
        return Err("holds no certificate".into());
    }
    Ok(certificates)
}

/// Whether the `ca_file` of a section can be used: empty (the system's authorities), or a readable file with at least
/// one certificate.
pub(crate) fn is_usable(ca_file: &Path) -> bool {
    ca_file.as_os_str().is_empty() || std::fs::read(ca_file).is_ok_and(|pem| certificates(&pem).is_ok())
}

#[cfg(test)]
mod tests {
    use super::{certificates, is_usable};

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert_eq!(certificates(b"hello"), Err("holds no certificate".into()));
        assert!(!is_usable("/no/such/ca.pem".as_ref()));
        assert!(!is_usable(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml").as_path()));
        assert!(is_usable("".as_ref()), "the system's authorities");
    }
}
