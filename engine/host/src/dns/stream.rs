//! Connections to a granted server: TCP, and TLS over it (RFC 7858).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, crypto};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use super::server::DnsServer;

/// A stream of messages with their lengths before them.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What TLS trusts: the system's authorities, and those of a credential's `ca`.
///
/// # Errors
///
/// Says what of it cannot be used.
pub(super) fn tls(ca_pem: Option<&str>) -> Result<TlsConnector, String> {
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = match ca_pem {
        None => Verifier::new(provider.clone()),
        Some(pem) => {
            let wrong = || "the `ca` of the credential is no PEM that can be used".to_owned();
            let more: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|_| wrong())?;
            if more.is_empty() {
                return Err(wrong());
            }
            Verifier::new_with_extra_roots(more, provider.clone())
        }
    };
    let verifier = verifier.map_err(|err| format!("no authorities for TLS can be loaded: {err}"))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| format!("TLS cannot be set up: {err}"))?
        .dangerous() // Named so for every verifier but rustls' own; this one is the system's.
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"dot".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Connects to the first of the addresses that answers.
///
/// # Errors
///
/// The last address's error, or that of the handshake.
pub(super) async fn connect(server: &DnsServer, addresses: &[SocketAddr], tls: Option<&TlsConnector>) -> io::Result<Stream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Whole messages are written at once; nothing is gained by waiting for more.
                stream.set_nodelay(true)?;
                let Some(tls) = tls else { return Ok(Stream::Plain(stream)) };
                let stream = tls.connect(server_name(server)?, stream).await?;
                return Ok(Stream::Tls(Box::new(stream)));
            }
            Err(err) => last = err,
        }
    }
    Err(last)
}

/// What the server's certificate must be for.
fn server_name(server: &DnsServer) -> io::Result<ServerName<'static>> {
    match &server.host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|err| io::Error::new(io::ErrorKind::InvalidInput, err)),
        Host::Ipv4(it) => Ok(ServerName::IpAddress(std::net::IpAddr::V4(*it).into())),
        Host::Ipv6(it) => Ok(ServerName::IpAddress(std::net::IpAddr::V6(*it).into())),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_read(cx, buf),
            Self::Tls(it) => Pin::new(it).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_write(cx, buf),
            Self::Tls(it) => Pin::new(it).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_flush(cx),
            Self::Tls(it) => Pin::new(it).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_shutdown(cx),
            Self::Tls(it) => Pin::new(it).poll_shutdown(cx),
        }
    }
}
