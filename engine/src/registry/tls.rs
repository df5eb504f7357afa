//! Why an encrypted connection did not come about, in words, and what would mend it: never to try again.

use std::error::Error;
use std::io;

use rustls::CertificateError as Fault;

/// What a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Trust the authority that issued the certificate.
    Authority,
    /// Have a certificate issued for the server: this one is an authority's own, which no server may show.
    Issue,
    /// Name the server as its certificate does.
    Name,
    /// Set the clock, or have the certificate renewed.
    Clock,
    /// Name another server or port: this one speaks otherwise.
    Server,
}

/// The fault of TLS that an error is, or that it carries.
pub(super) fn fault<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    // What an error of the system carries is not its source, but itself.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => fault(inner),
        None => error.downcast_ref(),
    }
}

/// What is wrong.
pub(super) fn words(fault: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(certificate) = fault else {
        return format!("no TLS comes about ({})", super::shown(&fault.to_string()));
    };
    let why = match certificate {
        Fault::UnknownIssuer => "nobody whom this machine trusts issued it".to_owned(),
        Fault::Expired | Fault::ExpiredContext { .. } => "it has expired".to_owned(),
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => "it is not valid yet".to_owned(),
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => "it is for another name".to_owned(),
        other if is_authority(other) => "it is that of an authority itself, and was issued for no server".to_owned(),
        other => super::shown(&other.to_string()),
    };
    format!("its certificate is not trusted, as {why}")
}

/// What `openssl req -x509` makes by itself. The library has no name of its own for it, and passes on what it found.
fn is_authority(fault: &Fault) -> bool {
    matches!(fault, Fault::Other(inner) if inner.to_string().contains("CaUsedAsEndEntity"))
}

/// What would mend it.
pub(super) fn remedy(fault: &rustls::Error) -> Remedy {
    match fault {
        rustls::Error::InvalidCertificate(Fault::Expired | Fault::ExpiredContext { .. }) => Remedy::Clock,
        rustls::Error::InvalidCertificate(Fault::NotValidYet | Fault::NotValidYetContext { .. }) => Remedy::Clock,
        rustls::Error::InvalidCertificate(Fault::NotValidForName | Fault::NotValidForNameContext { .. }) => Remedy::Name,
        rustls::Error::InvalidCertificate(other) if is_authority(other) => Remedy::Issue,
        rustls::Error::InvalidCertificate(_) => Remedy::Authority,
        _ => Remedy::Server,
    }
}
