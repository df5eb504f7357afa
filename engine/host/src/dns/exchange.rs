//! From a plugin's queries to answers: checks, connections, limits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use url::Host;

use super::check::Asked;
use super::server::DnsServer;
use super::stream::{connect, tls};
use super::talk::Talk;
use super::tsig::TsigKey;
use super::wire::put_u16;
use crate::bindings::trueup::provider::dns as wit;
use crate::grant::{Credential, Grant, Scheme};
use crate::outbound::{CONNECT, MARGIN, Turns, Unreachable, resolve};
use crate::runtime::Limits;

pub(super) type Answer<T> = Result<T, wit::DnsError>;

/// Queries of one `exchange-all`.
const MAX_QUERIES: usize = 10_000;
/// How long a datagram's answer is waited for where the plugin says nothing; a lost one shall not cost the whole call.
const UDP_WAIT: Duration = Duration::from_secs(5);

/// The way of one provider to DNS servers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Exchanger(Arc<Inner>);

struct Inner {
    grant: Arc<Grant>,
    /// Bytes of all answers to one query.
    most: u64,
    /// Bytes of all answers of one `exchange-all`: what the guest could hold.
    bodies: u64,
    turns: Turns,
    /// By credential; the empty name is for queries without one.
    connectors: Mutex<HashMap<String, TlsConnector>>,
}

/// A query that passed the checks.
struct Prepared {
    server: DnsServer,
    via: wit::Transport,
    asked: Asked,
    credential: Option<Arc<Credential>>,
    most: u64,
    timeout: Option<Duration>,
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())
}

impl Exchanger {
    pub(crate) fn new(grant: Arc<Grant>, limits: &Limits) -> Self {
        Self(Arc::new(Inner {
            grant,
            most: limits.dns_answers,
            bodies: limits.memory,
            turns: Turns::new(limits.http_parallel),
            connectors: Mutex::default(),
        }))
    }

    /// Sends queries, at most `parallel` at a time (0: as many as the limit), and answers in their order.
    /// `writes`: the running call may change things.
    pub(crate) async fn exchange_all(
        &self,
        queries: Vec<wit::Query>,
        parallel: u32,
        writes: bool,
        deadline: Instant,
    ) -> Vec<Answer<Vec<Vec<u8>>>> {
        if queries.len() > MAX_QUERIES {
            let text = format!("more than {MAX_QUERIES} queries in one call");
            return queries.iter().map(|_| Err(wit::DnsError::Malformed(text.clone()))).collect();
        }
        let room = Arc::new(AtomicU64::new(self.0.bodies));
        let deadline = deadline.checked_sub(MARGIN).unwrap_or(deadline);
        let prepared = queries.into_iter().map(|query| self.0.prepare(query, writes)).collect();
        let exchange = |prepared: Prepared| {
            let (inner, room) = (Arc::clone(&self.0), Arc::clone(&room));
            async move { inner.exchange(prepared, deadline, &room).await }
        };
        let lost = || wit::DnsError::Interrupted("the exchange was broken off".to_owned());
        self.0.turns.in_order(prepared, parallel, lost, exchange).await
    }
}

impl Inner {
    /// All checks, in the order of the module's header.
    fn prepare(&self, query: wit::Query, writes: bool) -> Answer<Prepared> {
        let server = self.server(&query.server, query.via)?;
        let asked = Asked::judge(query.message, query.via, writes)?;
        let credential = self.credential(query.credential.as_deref(), &server, writes)?;
        let most = if query.max_bytes == 0 { self.most } else { query.max_bytes.min(self.most) };
        let timeout = query.timeout.map(Duration::from_millis);
        Ok(Prepared { server, via: query.via, asked, credential, most, timeout })
    }

    fn server(&self, text: &str, via: wit::Transport) -> Answer<DnsServer> {
        let server = DnsServer::parse(text).map_err(|why| wit::DnsError::Malformed(format!("`server` {why}")))?;
        if !self.grant.dns.contains(&server) {
            return denied(format!("`{server}` is not granted; add it to `dns` of the provider"));
        }
        match (server.tls, via) {
            (true, wit::Transport::Tls) | (false, wit::Transport::Udp | wit::Transport::Tcp) => Ok(server),
            (true, _) => denied(format!("`{server}` is granted for TLS only")),
            (false, _) => {
                denied(format!("`{server}` is granted for UDP and TCP; TLS needs `dns+tls://` in `dns` of the provider"))
            }
        }
    }

    /// A credential for another server is refused rather than left out: the answers would be believed unsigned.
    fn credential(&self, slot: Option<&str>, server: &DnsServer, writes: bool) -> Answer<Option<Arc<Credential>>> {
        let Some(slot) = slot else { return Ok(None) };
        let credential = self.grant.slot(slot, writes).map_err(wit::DnsError::Denied)?;
        let name = &credential.name;
        if !matches!(credential.scheme, Scheme::Tsig(_)) {
            let word = credential.scheme.word();
            return denied(format!("credential `{name}` is {word}, and DNS messages are signed with `tsig`"));
        }
        if !credential.servers.contains(server) {
            return denied(format!("credential `{name}` is not for `{server}`; add it to the credential's `origins`"));
        }
        Ok(Some(Arc::clone(credential)))
    }

    async fn exchange(&self, mut query: Prepared, deadline: Instant, room: &AtomicU64) -> Answer<Vec<Vec<u8>>> {
        let datagram = query.via == wit::Transport::Udp;
        let wait = query.timeout.or(datagram.then_some(UDP_WAIT));
        let end = wait.and_then(|it| Instant::now().checked_add(it)).map_or(deadline, |it| it.min(deadline));
        if end <= Instant::now() {
            return Err(wit::DnsError::Unreachable("the time was over before it was sent".to_owned()));
        }
        let connected = tokio::time::Instant::from_std(end.min(Instant::now() + CONNECT));
        let addresses = match timeout_at(connected, addresses(&query.server)).await {
            Ok(addresses) => addresses?,
            Err(_) => return unreachable(&query.server, "its name is not found in time"),
        };
        let mut message = std::mem::take(&mut query.asked.message);
        let id = random_id()?;
        put_u16(&mut message, 0, id);
        let key = query.credential.as_deref().and_then(key_of);
        let end = tokio::time::Instant::from_std(end);
        let talk = Talk { asked: &query.asked, id, message, key, end, most: query.most, room };
        if datagram {
            return talk.datagram(&addresses).await;
        }
        let tls = match query.via {
            wit::Transport::Tls => Some(self.connector(query.credential.as_deref())?),
            _ => None,
        };
        match timeout_at(connected, connect(&query.server, &addresses, tls.as_ref())).await {
            Ok(Ok(stream)) => talk.stream(stream).await,
            Ok(Err(err)) => unreachable(&query.server, &crate::log::clean(&err.to_string(), 512)),
            Err(_) => unreachable(&query.server, "no connection in time"),
        }
    }

    /// What TLS trusts for a credential, made once.
    fn connector(&self, credential: Option<&Credential>) -> Answer<TlsConnector> {
        let name = credential.map_or("", |it| &it.name);
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connector) = connectors.get(name) {
            return Ok(connector.clone());
        }
        let made = tls(credential.and_then(|it| it.ca_pem.as_deref())).map_err(wit::DnsError::Unreachable)?;
        connectors.insert(name.to_owned(), made.clone());
        Ok(made)
    }
}

fn key_of(credential: &Credential) -> Option<&TsigKey> {
    match &credential.scheme {
        Scheme::Tsig(key) => Some(key),
        Scheme::Header { .. }
        | Scheme::Basic { .. }
        | Scheme::Bearer(_)
        | Scheme::ClientCertificate { .. }
        | Scheme::Kubeconfig(_)
        | Scheme::SigV4(_) => None,
    }
}

/// Where a server is: an address as it was granted, or what a name leads to, judged.
async fn addresses(server: &DnsServer) -> Answer<Vec<SocketAddr>> {
    match &server.host {
        Host::Ipv4(it) => Ok(vec![SocketAddr::from((*it, server.port))]),
        Host::Ipv6(it) => Ok(vec![SocketAddr::from((*it, server.port))]),
        Host::Domain(name) => resolve(name, server.port, true, "dns").await.map_err(|err| match err.downcast::<Unreachable>() {
            Ok(refused) => wit::DnsError::Denied(refused.to_string()),
            Err(other) => wit::DnsError::Unreachable(format!("`{name}`: {}", crate::log::clean(&other.to_string(), 512))),
        }),
    }
}

/// Drawn anew for each query, so that nobody who does not see it can answer it.
fn random_id() -> Answer<u16> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(|err| wit::DnsError::Unreachable(format!("no random id can be drawn: {err}")))?;
    Ok(u16::from_be_bytes(bytes))
}

fn denied<T>(text: String) -> Answer<T> {
    Err(wit::DnsError::Denied(text))
}

fn unreachable<T>(server: &DnsServer, why: &str) -> Answer<T> {
    Err(wit::DnsError::Unreachable(format!("`{server}`: {why}")))
}
