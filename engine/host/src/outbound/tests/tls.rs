//! TLS: authorities of the operator's own, and client certificates. Certificates are made by `openssl` for each test.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::*;

const CONFIG: &str = "[req]\ndistinguished_name = name\n[name]\n\
    [ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
    [server]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1, DNS:api.cluster.test\nextendedKeyUsage = serverAuth\n\
    [client]\nbasicConstraints = critical, CA:FALSE\nextendedKeyUsage = clientAuth\n";

/// A certificate and its key, as PEM.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Pair {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()
    }
}

/// Makes a certificate with the extensions of that section of [`CONFIG`]; without an issuer it signs itself.
fn certificate(dir: &Path, name: &str, section: &str, issuer: Option<&str>) -> Pair {
    let file = |name: &str, end: &str| dir.join(format!("{name}.{end}"));
    std::fs::write(file("openssl", "cnf"), CONFIG).unwrap();
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj"]);
    command.arg(format!("/CN=trueup test {name}")).args(["-extensions", section, "-config"]).arg(file("openssl", "cnf"));
    command.arg("-keyout").arg(file(name, "key")).arg("-out").arg(file(name, "pem"));
    if let Some(issuer) = issuer {
        command.arg("-CA").arg(file(issuer, "pem")).arg("-CAkey").arg(file(issuer, "key"));
    }
    let made = command.output().expect("these tests need the `openssl` command");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = |end| std::fs::read_to_string(file(name, end)).unwrap();
    Pair { cert: text("pem"), key: text("key") }
}

/// What a server asks of its clients.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Asks {
    Nothing,
    MayShow,
    MustShow,
}

/// One authority, a server under it, and a client's certificate from it.
pub(crate) struct Pki {
    pub(crate) ca: Pair,
    pub(crate) server: Pair,
    pub(crate) client: Pair,
    dir: tempfile::TempDir,
}

pub(crate) fn pki() -> Pki {
    let dir = tempfile::tempdir().unwrap();
    let ca = certificate(dir.path(), "ca", "ca", None);
    let server = certificate(dir.path(), "server", "server", Some("ca"));
    Pki { ca, server, client: certificate(dir.path(), "client", "client", Some("ca")), dir }
}

/// Another client's certificate from the same authority.
pub(crate) fn pki_of(pki: &Pki) -> Pair {
    certificate(pki.dir.path(), "other", "client", Some("ca"))
}

/// A server that answers `hi` to every request.
pub(crate) struct TlsServer {
    pub(crate) origin: String,
    connections: Arc<AtomicUsize>,
    /// Request lines, each with the certificate that the client showed.
    pub(crate) seen: Arc<Mutex<Vec<(String, Option<CertificateDer<'static>>)>>>,
}

pub(crate) fn tls_server(pki: &Pki, asks: Asks) -> TlsServer {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(pki.ca.der()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = match asks {
        Asks::Nothing => WebPkiClientVerifier::no_client_auth(),
        Asks::MayShow => verifier.allow_unauthenticated().build().unwrap(),
        Asks::MustShow => verifier.build().unwrap(),
    };
    let key = PrivateKeyDer::from_pem_slice(pki.server.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_client_cert_verifier(verifier).with_single_cert(vec![pki.server.der()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("https://{}", listener.local_addr().unwrap());
    let server = TlsServer { origin, connections: Arc::default(), seen: Arc::default() };
    let (config, connections, seen) = (Arc::new(config), server.connections.clone(), server.seen.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            connections.fetch_add(1, Ordering::SeqCst);
            let (config, seen) = (config.clone(), seen.clone());
            std::thread::spawn(move || serve(config, stream, &seen));
        }
    });
    server
}

/// Answers requests until the client leaves or the handshake fails.
fn serve(config: Arc<ServerConfig>, stream: TcpStream, seen: &Mutex<Vec<(String, Option<CertificateDer<'static>>)>>) {
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(len @ 1..) = stream.read(&mut chunk) {
        text.extend_from_slice(&chunk[..len]);
        if !text.windows(4).any(|it| it == b"\r\n\r\n") {
            continue;
        }
        let shown = stream.conn.peer_certificates().and_then(|it| it.first()).map(|it| it.clone().into_owned());
        let line = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
        seen.lock().unwrap().push((line, shown));
        text.clear();
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// The slot `api`, for one origin, with an authority and a scheme.
fn with_credential(server: &TlsServer, ca: Option<&Pair>, scheme: Scheme) -> Grant {
    let credential = Arc::new(Credential {
        name: "api-key".to_owned(),
        origins: vec![HostRule::parse(&server.origin).unwrap()],
        servers: Vec::new(),
        scheme,
        ca_pem: ca.map(|it| it.cert.clone()),
        base: None,
    });
    let slot = Slot { read: credential.clone(), write: credential };
    Grant { credentials: BTreeMap::from([("api".to_owned(), slot)]), ..granted(&server.origin) }
}

fn bearer() -> Scheme {
    Scheme::Bearer(Secret::from("token"))
}

fn presents(pair: &Pair) -> Scheme {
    Scheme::ClientCertificate { cert_pem: pair.cert.clone(), key_pem: Secret::from(pair.key.as_str()) }
}

fn asked(method: &str, url: &str) -> wit::Request {
    wit::Request { credential: Some("api".to_owned()), ..request(method, url) }
}

/// The words of an answer that is no response.
pub(crate) async fn refused(to: &Outbound, request: wit::Request, writes: bool) -> String {
    let log = LogSink::new("p".into(), Arc::new(NoServices), &Limits::default());
    let mut answers = to.send_all(vec![request], 1, writes, Instant::now() + Duration::from_secs(10), &log).await;
    match answers.remove(0) {
        Err(wit::HttpError::Unreachable(text) | wit::HttpError::Interrupted(text) | wit::HttpError::Denied(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_authority_of_the_operators_own_is_believed_for_its_credential_alone() {
    let pki = pki();
    let server = tls_server(&pki, Asks::Nothing);
    let to = outbound(with_credential(&server, Some(&pki.ca), bearer()));
    assert_eq!(send(&to, asked("GET", &server.origin), false).await, "200 hi");
    // The same server, asked without the credential: nobody said that its authority is to be believed there.
    let words = refused(&to, request("GET", &server.origin), false).await;
    assert!(words.contains("certificate") && words.contains("UnknownIssuer"), "{words}");
    assert_eq!(server.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_under_an_unknown_authority_is_refused_by_name_and_sent_nothing() {
    let (pki, other) = (pki(), pki());
    let server = tls_server(&pki, Asks::Nothing);
    for ca in [None, Some(&other.ca)] {
        let to = outbound(with_credential(&server, ca, bearer()));
        for (method, writes) in [("GET", false), ("POST", true)] {
            let words = refused(&to, asked(method, &server.origin), writes).await;
            assert!(words.contains("certificate") && !words.contains("token"), "{words}");
        }
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_its_own_origin_and_to_no_other() {
    let pki = pki();
    let (mine, other) = (tls_server(&pki, Asks::MustShow), tls_server(&pki, Asks::MayShow));
    let to = outbound(with_credential(&mine, Some(&pki.ca), presents(&pki.client)));
    assert_eq!(send(&to, asked("GET", &mine.origin), false).await, "200 hi");
    assert_eq!(send(&to, asked("PUT", &mine.origin), true).await, "200 hi");
    let want = |line: &str| (line.to_owned(), Some(pki.client.der()));
    assert_eq!(*mine.seen.lock().unwrap(), [want("GET / HTTP/1.1"), want("PUT / HTTP/1.1")]);
    // A server that asks for one gets none where the credential is another's, or is of another kind.
    let plain = outbound(with_credential(&other, Some(&pki.ca), bearer()));
    assert_eq!(send(&plain, asked("GET", &other.origin), false).await, "200 hi");
    assert_eq!(*other.seen.lock().unwrap(), [("GET / HTTP/1.1".to_owned(), None)]);
    let strange = outbound(with_credential(&mine, Some(&pki.ca), bearer()));
    refused(&strange, asked("GET", &mine.origin), false).await;
    assert_eq!(mine.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_client_certificate_opens_no_way_to_write_outside_apply() {
    let pki = pki();
    let server = tls_server(&pki, Asks::MustShow);
    let to = outbound(with_credential(&server, Some(&pki.ca), presents(&pki.client)));
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let words = refused(&to, asked(method, &server.origin), false).await;
        assert!(words.contains("outside `apply`"), "{method}: {words}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0, "not even a handshake");
    assert_eq!(send(&to, asked("POST", &server.origin), true).await, "200 hi");
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_by_the_name_of_its_credential() {
    let pki = pki();
    let server = tls_server(&pki, Asks::Nothing);
    let broken =
        Pair { cert: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), key: "no key".to_owned() };
    for grant in [
        with_credential(&server, Some(&Pair { cert: "no PEM at all".to_owned(), key: String::new() }), bearer()),
        with_credential(&server, Some(&pki.ca), presents(&broken)),
    ] {
        let words = refused(&outbound(grant), asked("GET", &server.origin), false).await;
        assert!(words.contains("`api-key`") && !words.contains("no key"), "{words}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}
