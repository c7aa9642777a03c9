//! The cause inside an error of a library.

use std::error::Error;

/// The innermost cause says most: "connection refused" rather than "client error".
pub(crate) fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}

/// The TLS error in an error's chain: a certificate that is not trusted or not of this host, or no common version.
/// Waiting can't help there, so it is not a fault of the network.
pub(crate) fn tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // What an I/O error wraps is not its source, but the source of the wrapped error is.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_tls_error_is_found_inside_io_errors() {
        let wrapped = |inner: rustls::Error| Outer(std::io::Error::other(std::io::Error::other(inner)));
        assert_eq!(tls(&wrapped(rustls::Error::DecryptError)), Some(&rustls::Error::DecryptError));
        assert_eq!(tls(&Outer(std::io::Error::other("reset"))), None);
        let refused = Outer(std::io::ErrorKind::ConnectionRefused.into());
        assert_eq!(innermost(&refused).to_string(), "connection refused");
    }
}
