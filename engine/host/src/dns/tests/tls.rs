//! TLS: the operator's own authority, and a server that has another.

use std::io::{Read as _, Write as _};

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::outbound::tests::tls::{Pki, pki};

/// Answers one query on each connection; the origin.
fn tls_server(pki: &Pki) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let private = PrivateKeyDer::from_pem_slice(pki.server.key.as_bytes()).unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![pki.server.der()], private).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("dns+tls://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            let mut len = [0; 2];
            if stream.read_exact(&mut len).is_err() {
                continue;
            }
            let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut query).unwrap();
            let said = Signer::of(&query).sign(answer(&query, 0, &[soa(7)]));
            stream.write_all(&[u16::try_from(said.len()).unwrap().to_be_bytes().to_vec(), said].concat()).unwrap();
            stream.flush().unwrap();
        }
    });
    origin
}

#[tokio::test]
async fn tls_trusts_the_credentials_authority_and_nobody_unknown() {
    let pki = pki();
    let origin = tls_server(&pki);
    let with_ca = |ca: Option<String>| {
        let mut grant = granted(&origin);
        let slot = grant.credentials.get_mut("tsig").unwrap();
        let known = Credential {
            name: "zone-key".to_owned(),
            origins: Vec::new(),
            servers: slot.read.servers.clone(),
            scheme: Scheme::Tsig(Box::new(key())),
            ca_pem: ca,
            base: None,
        };
        slot.read = Arc::new(known);
        grant
    };
    let it = signed(query(&origin, wit::Transport::Tls, ask(SOA)));
    assert_eq!(exchange(with_ca(Some(pki.ca.cert.clone())), it.clone(), false).await.unwrap(), [answer(&ask(SOA), 0, &[soa(7)])]);
    fails(exchange(with_ca(None), it.clone(), false).await, "unreachable", "certificate");
    fails(exchange(with_ca(Some("nonsense".to_owned())), it, false).await, "unreachable", "no PEM");
}
