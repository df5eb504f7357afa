//! Credentials that have an end: got anew before that and after a 401, and once only.

use std::collections::VecDeque;

use super::tls::{Asks, pki, tls_server};
use super::*;
use crate::outbound::{ClientCertificate, Cluster, Held, Login};

/// Gives one token after the other, each when it is asked for anew.
#[derive(Debug)]
struct Tokens {
    next: Mutex<VecDeque<&'static str>>,
    now: Mutex<Option<Arc<Held>>>,
    fetched: AtomicUsize,
}

impl Tokens {
    fn new(tokens: &[&'static str]) -> Arc<Self> {
        Arc::new(Self { next: Mutex::new(tokens.iter().copied().collect()), now: Mutex::default(), fetched: AtomicUsize::new(0) })
    }

    /// As if its time were over.
    fn expire(&self) {
        *self.now.lock().unwrap() = None;
    }
}

impl Login for Tokens {
    fn whose(&self) -> String {
        "context `prod` of `/home/ann/.kube/config`, user `ann`".to_owned()
    }

    fn held(&self) -> Option<Arc<Held>> {
        self.now.lock().unwrap().clone()
    }

    fn fetch(&self, refused: Option<&Arc<Held>>) -> Result<Arc<Held>, String> {
        let mut now = self.now.lock().unwrap();
        if let Some(held) = &*now
            && !refused.is_some_and(|it| Arc::ptr_eq(it, held))
        {
            return Ok(Arc::clone(held));
        }
        self.fetched.fetch_add(1, Ordering::SeqCst);
        match (self.next.lock().unwrap().pop_front(), refused) {
            (Some(token), _) => {
                let held = Held { authorization: Some(Secret::new(format!("Bearer {token}"))), ..Held::default() };
                Ok(Arc::clone(now.insert(Arc::new(held))))
            }
            (None, Some(refused)) => Ok(Arc::clone(refused)),
            (None, None) => Err(format!("{}: run `login`", self.whose())),
        }
    }

    fn values(&self) -> Vec<String> {
        Vec::new()
    }
}

fn cluster(origin: &str, login: Arc<dyn Login>, ca: Option<&str>, name: Option<&str>, insecure: bool) -> Grant {
    let scheme = Scheme::Kubeconfig(Box::new(Cluster { login, server_name: name.map(str::to_owned), insecure }));
    let credential = Arc::new(Credential {
        name: "prod".to_owned(),
        origins: vec![HostRule::parse(origin).unwrap()],
        servers: Vec::new(),
        scheme,
        ca_pem: ca.map(str::to_owned),
        base: Some(origin.parse().unwrap()),
    });
    let slot = Slot { read: Arc::clone(&credential), write: credential };
    Grant { credentials: BTreeMap::from([("api".to_owned(), slot)]), ..Grant::default() }
}

fn asked(method: &str) -> wit::Request {
    wit::Request { credential: Some("api".to_owned()), ..request(method, "slot:api/x") }
}

/// Believes the token `new` alone.
fn guarded(request: &str) -> Option<Vec<u8>> {
    if request.contains("authorization: Bearer new") {
        return ok(request);
    }
    Some(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno".to_vec())
}

#[tokio::test]
async fn a_refused_token_is_got_anew_and_the_request_sent_once_more_also_where_it_changes_something() {
    for (method, writes) in [("GET", false), ("POST", true), ("PATCH", true)] {
        let server = server(guarded).await;
        let tokens = Tokens::new(&["old", "new"]);
        let to = outbound(cluster(&format!("http://127.0.0.1:{}", server.port), tokens.clone(), None, None, false));
        let with = || wit::Request { body: writes.then(|| b"c".to_vec()), ..asked(method) };
        assert_eq!(send(&to, with(), writes).await, "200 hi", "{method}");
        assert_eq!(send(&to, with(), writes).await, "200 hi", "{method}");
        let seen = server.seen.lock().unwrap();
        assert_eq!(seen.iter().filter(|it| it.contains("authorization: Bearer old")).count(), 1, "{method}");
        assert_eq!((seen.len(), tokens.fetched.load(Ordering::SeqCst)), (3, 2), "{method}");
        assert_eq!(seen.iter().filter(|it| it.contains("content-length: 1")).count(), if writes { 3 } else { 0 }, "{method}");
    }
}

#[tokio::test]
async fn what_is_refused_twice_or_has_nothing_newer_is_answered_with_the_401() {
    for (tokens, sent) in [(&["old", "older", "oldest"][..], 2), (&["old"], 1)] {
        let server = server(guarded).await;
        let login = Tokens::new(tokens);
        let to = outbound(cluster(&format!("http://127.0.0.1:{}", server.port), login, None, None, false));
        assert_eq!(send(&to, asked("GET"), false).await, "401 no");
        assert_eq!(server.seen.lock().unwrap().len(), sent, "{tokens:?}");
    }
}

#[tokio::test]
async fn many_requests_that_are_refused_at_once_ask_for_one_new_token() {
    let server = server(guarded).await;
    let tokens = Tokens::new(&["old", "new"]);
    let to = outbound(cluster(&format!("http://127.0.0.1:{}", server.port), tokens.clone(), None, None, false));
    let answers = send_all(&to, (0..20).map(|_| asked("GET")).collect(), 8, false).await;
    assert!(answers.iter().all(|it| it == "200 hi"), "{answers:?}");
    assert_eq!(tokens.fetched.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_token_whose_time_is_over_is_got_anew_before_anything_is_sent_and_a_failure_says_whose_it_is() {
    let server = server(guarded).await;
    let tokens = Tokens::new(&["new", "newer"]);
    let grant = cluster(&format!("http://127.0.0.1:{}", server.port), tokens.clone(), None, None, false);
    let to = outbound(grant);
    assert_eq!(send(&to, asked("GET"), false).await, "200 hi");
    tokens.expire();
    assert_eq!(send(&to, asked("GET"), false).await, "200 hi");
    tokens.expire();
    let words = super::tls::refused(&to, asked("POST"), true).await;
    // The plugin hears whose credential it is; why it was not to be had is for the log.
    assert_eq!(words, "credential `prod` was not to be had; the log says why");
    let told = to.told();
    for part in ["credential `prod`", "context `prod`", "`/home/ann/.kube/config`", "user `ann`", "run `login`"] {
        assert!(told.contains(part), "{told}");
    }
    let seen = server.seen.lock().unwrap();
    assert!(seen.len() == 2 && !told.contains("newer") && seen[1].contains("Bearer newer"), "{seen:?}");
}

#[tokio::test]
async fn a_clusters_authority_is_believed_alone_and_a_name_of_its_own_is_asked_for() {
    let pki = pki();
    let server = tls_server(&pki, Asks::Nothing);
    let tokens = || Tokens::new(&["new"]);
    let with =
        |ca: Option<&str>, name: Option<&str>, insecure: bool| outbound(cluster(&server.origin, tokens(), ca, name, insecure));
    let ca = Some(&*pki.ca.cert);
    assert_eq!(send(&with(ca, None, false), asked("GET"), false).await, "200 hi");
    assert_eq!(send(&with(ca, Some("api.cluster.test"), false), asked("GET"), false).await, "200 hi");
    let words = super::tls::refused(&with(ca, Some("other.cluster.test"), false), asked("GET"), false).await;
    assert!(words.contains("certificate") && words.contains("other.cluster.test"), "{words}");
    let words = super::tls::refused(&with(None, None, false), asked("GET"), false).await;
    assert!(words.contains("certificate"), "{words}");
    assert_eq!(server.seen.lock().unwrap().len(), 2);
    assert_eq!(send(&with(None, None, true), asked("GET"), false).await, "200 hi");
}

/// Shows another certificate each time it is asked anew.
#[derive(Debug)]
struct Certificates(Mutex<Vec<Arc<Held>>>);

impl Login for Certificates {
    fn whose(&self) -> String {
        String::new()
    }

    fn held(&self) -> Option<Arc<Held>> {
        None
    }

    fn fetch(&self, _: Option<&Arc<Held>>) -> Result<Arc<Held>, String> {
        let mut them = self.0.lock().unwrap();
        let first = them.remove(0);
        them.push(Arc::clone(&first));
        Ok(first)
    }

    fn values(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_by_a_new_connection() {
    let pki = pki();
    let server = tls_server(&pki, Asks::MustShow);
    let shown = |pair: &super::tls::Pair| {
        let certificate = ClientCertificate { cert_pem: pair.cert.clone(), key_pem: Secret::from(&*pair.key) };
        Arc::new(Held { certificate: Some(Arc::new(certificate)), ..Held::default() })
    };
    let other = super::tls::pki_of(&pki);
    let login = Arc::new(Certificates(Mutex::new(vec![shown(&pki.client), shown(&other)])));
    let to = outbound(cluster(&server.origin, login, Some(&pki.ca.cert), None, false));
    for _ in 0..2 {
        assert_eq!(send(&to, asked("GET"), false).await, "200 hi");
    }
    let seen: Vec<_> = server.seen.lock().unwrap().iter().map(|it| it.1.clone()).collect();
    assert_eq!(seen, [Some(pki.client.der()), Some(other.der())]);
}
