//! TLS at both ends of a hand-made server: what asks it, and what it asks.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// One end of a connection, in plain or not.
pub trait Stream: Read + Write {
    /// Says that nothing follows: what comes to its end without that was cut.
    fn finish(&mut self);
}

impl Stream for TcpStream {
    fn finish(&mut self) {}
}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn finish(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
    }
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn finish(&mut self) {}
}

/// The certificate that is shown, and the authority that is believed.
#[derive(Clone)]
pub struct Tls {
    shown: Arc<ServerConfig>,
    believed: Arc<ClientConfig>,
}

impl Tls {
    /// All three as PEM.
    pub fn new(certificate: &[u8], key: &[u8], authority: &[u8]) -> Self {
        let certificate = CertificateDer::from_pem_slice(certificate).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(key).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let shown = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let shown = shown.expect("versions").with_no_client_auth().with_single_cert(vec![certificate], key);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority).expect("an authority")).expect("an authority");
        let believed = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let believed = believed.with_root_certificates(roots).with_no_client_auth();
        Self { shown: Arc::new(shown.expect("a certificate with its key")), believed: Arc::new(believed) }
    }

    pub(crate) fn accept(&self, stream: TcpStream) -> Box<dyn Stream> {
        Box::new(StreamOwned::new(ServerConnection::new(self.shown.clone()).expect("a connection"), stream))
    }

    pub(crate) fn connect(&self, stream: TcpStream) -> Box<dyn Stream> {
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        Box::new(StreamOwned::new(ClientConnection::new(self.believed.clone(), name).expect("a connection"), stream))
    }
}
