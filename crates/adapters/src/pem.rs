//! Certificates of a private authority, read from a PEM file.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// The certificates in PEM text; at least one.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| format!("is no PEM file: {e}"))?;
    if certificates.is_empty() {
        return Err("holds no certificate".into());
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(super::certificates(b"hello").is_err());
    }
}
