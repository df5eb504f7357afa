//! Sends requests: checks, pooled connections, limits, and what an error means for a change.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Identity, Method, redirect};
use url::Url;

use super::address::{Judge, Unreachable};
use super::login::{ClientCertificate, Held, Login, cluster};
use super::order::{Turns, take};
use super::rules::{Asked, decoded, forbidden, only_reads};
use super::sigv4::{self, Clocks, Refused, Signing};
use crate::bindings::trueup::provider::http as wit;
use crate::grant::{Credential, Grant, Scheme};
use crate::log::LogSink;
use crate::records::Fields;
use crate::runtime::Limits;
use crate::services::Level;

type Answer<T> = Result<T, wit::HttpError>;

/// Requests of one `send-all`, and what one request's headers and URL may hold.
const MAX_REQUESTS: usize = 10_000;
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_URL: usize = 16 << 10;
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
const KEEP_IDLE: Duration = Duration::from_secs(60);
/// How long before its own deadline a call gets its answer, so that it can say what happened.
pub(crate) const MARGIN: Duration = Duration::from_millis(500);
/// What a server answers who believes nothing of what it was shown, and did nothing.
const UNAUTHORIZED: u16 = 401;
/// Before a request that changes nothing is tried a second time.
const BEFORE_RETRY: Duration = Duration::from_millis(100);

/// The way out of one provider. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbound(Arc<Inner>);

struct Inner {
    grant: Arc<Grant>,
    body: u64,
    /// Bytes of the bodies of one `send-all` together: what the guest could hold.
    bodies: u64,
    turns: Turns,
    /// By credential; the empty name is for requests without one.
    clients: Mutex<HashMap<String, Pooled>>,
    /// Why a credential was not to be had the last time, as the log has it already.
    told: Mutex<String>,
    /// Of servers that believe signatures.
    clocks: Clocks,
}

/// A client's connections.
struct Pooled {
    client: Client,
    /// What they show, where that may become another one.
    certificate: Option<Arc<ClientCertificate>>,
}

/// A request that passed the checks.
struct Prepared {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
    credential: Option<Arc<Credential>>,
    timeout: Option<Duration>,
    until: Option<Vec<u8>>,
    /// How it is signed each time that it is sent, if it is.
    signing: Option<Signing>,
}

impl Outbound {
    pub(crate) fn new(grant: Arc<Grant>, limits: &Limits) -> Self {
        Self(Arc::new(Inner {
            grant,
            body: limits.http_body,
            bodies: limits.memory,
            turns: Turns::new(limits.http_parallel),
            clients: Mutex::default(),
            told: Mutex::default(),
            clocks: Clocks::default(),
        }))
    }

    /// Why a credential was not to be had the last time.
    #[cfg(test)]
    pub(super) fn told(&self) -> String {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends requests, at most `parallel` at a time (0: as many as the limit), and answers in their order.
    /// `writes`: the running call may change things.
    pub(crate) async fn send_all(
        &self,
        requests: Vec<wit::Request>,
        parallel: u32,
        writes: bool,
        deadline: Instant,
        log: &LogSink,
    ) -> Vec<Answer<wit::Response>> {
        if requests.len() > MAX_REQUESTS {
            let text = format!("more than {MAX_REQUESTS} requests in one call");
            return requests.iter().map(|_| Err(wit::HttpError::Malformed(text.clone()))).collect();
        }
        let room = Arc::new(AtomicU64::new(self.0.bodies));
        let deadline = deadline.checked_sub(MARGIN).unwrap_or(deadline);
        let prepared: Vec<_> = requests.into_iter().map(|request| self.0.prepare(request, writes, log)).collect();
        let used: Vec<_> = prepared.iter().map(|it| it.as_ref().ok().and_then(|it| it.credential.clone())).collect();
        let send = |prepared: Prepared| {
            let (inner, room) = (Arc::clone(&self.0), Arc::clone(&room));
            async move { inner.send(prepared, deadline, &room).await }
        };
        let answers = self.0.turns.in_order(prepared, parallel, || wit::HttpError::TimedOut, send).await;
        tell_refused(&answers, &used, log);
        answers
    }
}

/// Says whose credential a server refused: the plugin knows its slot alone.
fn tell_refused(answers: &[Answer<wit::Response>], used: &[Option<Arc<Credential>>], log: &LogSink) {
    let mut told: Vec<&str> = Vec::new();
    for (answer, credential) in answers.iter().zip(used) {
        let (Ok(answer), Some(credential)) = (answer, credential) else { continue };
        let with = match &credential.scheme {
            Scheme::SigV4(_) => refused(answer).map(|it| it.code.to_owned()),
            _ => (answer.status == UNAUTHORIZED).then(|| UNAUTHORIZED.to_string()),
        };
        if let (Some(with), Some(login)) = (with, credential.login())
            && !told.contains(&&*credential.name)
        {
            told.push(&credential.name);
            let whose = login.whose();
            let text = format!("the server refused credential `{}` ({whose}) with {with}; log in there again", credential.name);
            log.write(Level::Warn, &text, Fields::new());
        }
    }
}

/// The refusal of a signature that an answer is.
fn refused(answer: &wit::Response) -> Option<Refused> {
    let header = |name: &str| answer.headers.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
    Refused::of(answer.status, header, &answer.body)
}

impl Inner {
    /// All checks, in the order of the module's header.
    fn prepare(&self, request: wit::Request, writes: bool, log: &LogSink) -> Answer<Prepared> {
        let (url, by_slot) = self.url(&request.url, writes)?;
        if !by_slot && !self.grant.hosts.iter().any(|rule| rule.allows(&url)) {
            let origin = crate::grant::HostRule::of(&url).map_or_else(String::new, |it| it.to_string());
            return denied(format!("`{origin}` is not granted; add it to `hosts` of the provider"));
        }
        let method = method(&request.method)?;
        let slot = request.credential.as_deref().and_then(|it| self.slot(it, writes).ok());
        let signs = slot.is_some_and(|it| matches!(it.scheme, Scheme::SigV4(_)));
        let mut plain = Vec::with_capacity(request.headers.len());
        for (name, value) in request.headers {
            let name = name.to_ascii_lowercase();
            if let Some(why) = forbidden(&name).or_else(|| sigv4::forbidden(&name).filter(|_| signs)) {
                return denied(format!("the header `{}` {why}", crate::log::clean(&name, 64)));
            }
            plain.push((name, value));
        }
        let size: usize = plain.iter().map(|(name, value)| name.len() + value.len()).sum();
        if plain.len() > MAX_HEADERS || size > MAX_HEADER_BYTES {
            return malformed(format!("more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of them"));
        }
        let body = request.body.unwrap_or_default();
        let base = slot.filter(|it| it.is_for(&url) && cluster(Some(it)).is_some()).and_then(|it| it.base());
        let asked = Asked { method: method.as_str(), url: &url, headers: &plain, body: &body, cluster: base.as_ref() };
        if !writes && !only_reads(&asked, &self.grant.reads) {
            return denied(format!(
                "`{method} {}` may change something and is refused outside `apply`; add it to `reads` if it only reads",
                crate::log::clean(url.path(), 200)
            ));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &plain {
            let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
            let Some((name, value)) = header else { return malformed("a header holds what no header may hold") };
            headers.append(name, value);
        }
        let credential = self.credential(request.credential.as_deref(), &url, writes, log)?;
        if let Some(credential) = &credential {
            credential.attach(&mut headers).map_err(wit::HttpError::Unreachable)?;
        }
        let signed = || Ok((Some(Signing::of(&request.ext)?), sigv4::spelled(&url)?));
        let (signing, url) = match credential {
            Some(_) if signs => signed().map_err(wit::HttpError::Malformed)?,
            Some(_) | None => (None, url),
        };
        let timeout = request.timeout.map(Duration::from_millis);
        let until = request.until.filter(|it| !it.is_empty());
        Ok(Prepared { method, url, headers, body, credential, timeout, until, signing })
    }

    /// The URL, and whether it is a credential's own.
    fn url(&self, text: &str, writes: bool) -> Answer<(Url, bool)> {
        if text.len() > MAX_URL || text.chars().any(|it| it.is_control() || it == '\\') {
            return malformed(format!("the URL is longer than {MAX_URL} bytes, or holds what no URL may hold"));
        }
        let (mut url, by_slot) = match text.strip_prefix("slot:") {
            Some(rest) => (self.slot_url(rest, writes)?, true),
            None => (Url::parse(text).map_err(|err| wit::HttpError::Malformed(err.to_string()))?, false),
        };
        url.set_fragment(None);
        if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
            return malformed("the URL is neither https nor http");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return denied("a URL carries no user name or password; name a credential instead");
        }
        Ok((url, by_slot))
    }

    /// `<credential>/path?query` under that credential's base.
    fn slot_url(&self, rest: &str, writes: bool) -> Answer<Url> {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (name, path) = rest.split_at(end);
        let credential = self.slot(name, writes)?;
        let Some(base) = credential.base() else {
            return denied(format!("credential `{}` has several origins and no `base`, so `slot:` means none", credential.name));
        };
        let plain = path.split(['?', '#']).next().unwrap_or_default();
        if plain.split('/').any(climbs) {
            return denied("the path after `slot:` holds `.` or `..`, written out or encoded");
        }
        let url = Url::parse(&format!("{}{path}", base.as_str().trim_end_matches('/')));
        let url = url.map_err(|err| wit::HttpError::Malformed(err.to_string()))?;
        // The base itself or what is below it: `/api-admin` only begins as `/api` does.
        let below = url.path().strip_prefix(base.path().trim_end_matches('/'));
        let inside = url.origin() == base.origin() && below.is_some_and(|it| it.is_empty() || it.starts_with('/'));
        if inside { Ok(url) } else { denied("the path leads out of the credential's base") }
    }

    fn slot(&self, name: &str, writes: bool) -> Answer<&Arc<Credential>> {
        self.grant.slot(name, writes).map_err(wit::HttpError::Denied)
    }

    fn credential(&self, slot: Option<&str>, url: &Url, writes: bool, log: &LogSink) -> Answer<Option<Arc<Credential>>> {
        let Some(slot) = slot else { return Ok(None) };
        let credential = self.slot(slot, writes)?;
        if credential.is_for(url) {
            return Ok(Some(Arc::clone(credential)));
        }
        let host = url.host_str().unwrap_or_default();
        log.write(
            Level::Warn,
            &format!("credential `{}` is not for `{host}` and is not sent there", credential.name),
            Fields::new(),
        );
        Ok(None)
    }

    async fn send(&self, mut request: Prepared, deadline: Instant, room: &AtomicU64) -> Answer<wit::Response> {
        let asked = request.timeout.and_then(|it| Instant::now().checked_add(it));
        let end = tokio::time::Instant::from_std(asked.map_or(deadline, |it| it.min(deadline)));
        let Some(credential) = request.credential.clone() else { return self.tried(&mut request, None, false, end, room).await };
        if let Scheme::SigV4(login) = &credential.scheme {
            return self.signed(&mut request, &credential, login, end, room).await;
        }
        let Some(cluster) = cluster(Some(&credential)) else { return self.tried(&mut request, None, false, end, room).await };
        if let Some(url) = credential.renamed(cluster, &request.url) {
            request.url = url;
        }
        let held = credential.shown(&cluster.login, None, end).await.map_err(|why| self.without(&credential, why))?;
        let answer = self.tried(&mut request, Some(&held), true, end, room).await;
        if !matches!(answer, Ok(wit::Response { status: UNAUTHORIZED, .. })) {
            return answer;
        }
        // Refused means not taken, so that a change may be sent again too; once, and only where there is something else to show.
        let newer = credential.shown(&cluster.login, Some(&held), end).await.map_err(|why| self.without(&credential, why))?;
        if Arc::ptr_eq(&held, &newer) {
            return answer;
        }
        self.tried(&mut request, Some(&newer), false, end, room).await
    }

    /// Sends a request that is signed. What a server refuses because of its keys or of its time was not taken, so that a change may
    /// be sent again too: once with other keys, where there are any, and once with the server's time, where that is another one.
    async fn signed(
        &self,
        request: &mut Prepared,
        credential: &Credential,
        login: &Arc<dyn Login>,
        end: tokio::time::Instant,
        room: &AtomicU64,
    ) -> Answer<wit::Response> {
        let mut held = credential.shown(login, None, end).await.map_err(|why| self.without(credential, why))?;
        let (mut renewed, mut set) = (false, false);
        loop {
            let ahead = self.clocks.ahead(&request.url);
            let answer = self.tried(request, Some(&held), !(renewed && set), end, room).await;
            let Some(refused) = answer.as_ref().ok().and_then(refused) else { return answer };
            let learned = |date| self.clocks.learn(&request.url, ahead, date, SystemTime::now());
            if !set && refused.date.is_some_and(learned) {
                set = true;
                continue;
            }
            if renewed || !refused.is_of_keys() {
                return answer;
            }
            renewed = true;
            match credential.shown(login, Some(&held), end).await {
                Ok(newer) if !Arc::ptr_eq(&held, &newer) => held = newer,
                // Whether it is the keys that are wrong is not known: the server's answer says more.
                Err(why) if refused.is_expired() => return Err(self.without(credential, why)),
                Ok(_) | Err(_) => return answer,
            }
        }
    }

    /// What a guest is told where a credential could not be had. Why is the operator's business: the words of a program that logs in,
    /// names of files and users are for the log, and not for a plugin and for what is kept of its errors.
    fn without(&self, credential: &Credential, why: String) -> wit::HttpError {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != why {
            tracing::warn!("{why}");
            *told = why;
        }
        wit::HttpError::Unreachable(format!("credential `{}` was not to be had; the log says why", credential.name))
    }

    /// Sends, and once more what changes nothing and got no answer. `again`: the body is needed for another time.
    async fn tried(
        &self,
        request: &mut Prepared,
        held: Option<&Held>,
        again: bool,
        end: tokio::time::Instant,
        room: &AtomicU64,
    ) -> Answer<wit::Response> {
        let client = self.client(request.credential.as_deref(), held)?;
        if let (Some(held), Some(credential)) = (held, &request.credential) {
            held.attach(&credential.name, &mut request.headers).map_err(wit::HttpError::Unreachable)?;
        }
        let repeatable = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if repeatable {
            match self.once(&client, request, held, request.body.clone(), end, room).await {
                Err(wit::HttpError::Unreachable(_) | wit::HttpError::Interrupted(_))
                    if tokio::time::Instant::now() + BEFORE_RETRY < end =>
                {
                    tokio::time::sleep(BEFORE_RETRY).await;
                }
                answer => return answer,
            }
        }
        let body = if again { request.body.clone() } else { std::mem::take(&mut request.body) };
        self.once(&client, request, held, body, end, room).await
    }

    async fn once(
        &self,
        client: &Client,
        request: &Prepared,
        held: Option<&Held>,
        body: Vec<u8>,
        end: tokio::time::Instant,
        room: &AtomicU64,
    ) -> Answer<wit::Response> {
        let mut headers = request.headers.clone();
        if let Some(signing) = &request.signing {
            let keys = held.and_then(|it| it.keys.as_ref());
            let keys = keys.ok_or_else(|| wit::HttpError::Unreachable("the credential has no keys to sign with".to_owned()))?;
            let time = sigv4::moved(SystemTime::now(), self.clocks.ahead(&request.url));
            sigv4::sign(keys, signing, time, request.method.as_str(), &request.url, &mut headers, &body)
                .map_err(wit::HttpError::Malformed)?;
            // S3 takes no object whose length is not said, be it nothing.
            if body.is_empty() && matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
        }
        let mut build = client.request(request.method.clone(), request.url.clone()).headers(headers);
        if !body.is_empty() {
            build = build.body(body);
        }
        let mut response = match tokio::time::timeout_at(end, build.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(err)) => return Err(explain(err)),
            Err(_) => return Err(wit::HttpError::TimedOut),
        };
        let status = response.status().as_u16();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        if request.until.is_none() && response.content_length().is_some_and(|it| it > self.body) {
            return Err(wit::HttpError::TooLarge(self.body));
        }
        let (mut body, mut cut) = (Vec::new(), false);
        loop {
            let chunk = match tokio::time::timeout_at(end, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                Ok(Err(err)) => return Err(explain(err)),
                Err(_) if request.until.is_some() => {
                    cut = true;
                    break;
                }
                Err(_) => return Err(wit::HttpError::TimedOut),
            };
            // What came is decompressed already, and counted as such.
            let len = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            let total = len.saturating_add(u64::try_from(body.len()).unwrap_or(u64::MAX));
            if total > self.body || !take(room, chunk.len()) {
                return Err(wit::HttpError::TooLarge(self.body));
            }
            // The end mark may lie across two chunks.
            let from = body.len().saturating_sub(request.until.as_ref().map_or(0, |it| it.len() - 1));
            body.extend_from_slice(&chunk);
            if let Some(until) = &request.until
                && body.get(from..).is_some_and(|tail| tail.windows(until.len()).any(|it| it == &**until))
            {
                cut = true;
                break;
            }
        }
        Ok(wit::Response { status, headers, body, cut })
    }

    /// The pooled client of a credential.
    fn client(&self, credential: Option<&Credential>, held: Option<&Held>) -> Answer<Client> {
        let name = credential.map_or("", |it| &it.name);
        let certificate = held.and_then(|it| it.certificate.as_ref());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pooled) = clients.get(name)
            && pooled.certificate.as_ref().map(Arc::as_ptr) == certificate.map(Arc::as_ptr)
        {
            return Ok(pooled.client.clone());
        }
        let client = self.build(credential, certificate.map(|it| &**it)).map_err(wit::HttpError::Unreachable)?;
        clients.insert(name.to_owned(), Pooled { client: client.clone(), certificate: certificate.cloned() });
        Ok(client)
    }

    fn build(&self, credential: Option<&Credential>, shown: Option<&ClientCertificate>) -> Result<Client, String> {
        let cluster = cluster(credential);
        let instead = cluster.and_then(|it| it.server_name.clone());
        let instead = instead.zip(credential.and_then(Credential::base).and_then(|it| it.host().map(|it| it.to_owned())));
        let grant = Arc::clone(&self.grant);
        let exact = move |name: &str| {
            let own = grant.credentials.values().flat_map(|slot| [&slot.read, &slot.write]).filter_map(|it| it.base());
            let mut own = own.filter_map(|url| url.host_str().map(str::to_ascii_lowercase));
            let listed =
                |rule: &crate::grant::HostRule| !rule.wildcard && rule.ip().is_none() && rule.host.eq_ignore_ascii_case(name);
            grant.hosts.iter().any(listed) || own.any(|it| it.eq_ignore_ascii_case(name))
        };
        let mut builder = Client::builder()
            // No proxy and no cookie of the environment: what may be reached is the grant's business.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .dns_resolver(Arc::new(Judge { exact: Arc::new(exact), instead }))
            .connect_timeout(CONNECT)
            .pool_idle_timeout(KEEP_IDLE)
            .user_agent(concat!("trueup/", env!("CARGO_PKG_VERSION")));
        if let Some(credential) = credential {
            let wrong = |what: &str| format!("the {what} of credential `{}` is no PEM that can be used", credential.name);
            if let Some(pem) = &credential.ca_pem {
                let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| wrong("`ca`"))?;
                // A text without any certificate reads as a bundle of none.
                if certificates.is_empty() {
                    return Err(wrong("`ca`"));
                }
                // A cluster has an authority of its own, and nobody else may speak for it.
                builder = match cluster {
                    Some(_) => builder.tls_certs_only(certificates),
                    None => builder.tls_certs_merge(certificates),
                };
            }
            if cluster.is_some_and(|it| it.insecure) {
                builder = builder.tls_danger_accept_invalid_certs(true);
            }
            let shown = match &credential.scheme {
                Scheme::ClientCertificate { cert_pem, key_pem } => Some((cert_pem, key_pem)),
                _ => shown.map(|it| (&it.cert_pem, &it.key_pem)),
            };
            if let Some((cert_pem, key_pem)) = shown {
                let both = format!("{}\n{cert_pem}", key_pem.expose());
                builder = builder.identity(Identity::from_pem(both.as_bytes()).map_err(|_| wrong("client certificate"))?);
            }
        }
        builder.build().map_err(|err| format!("no connection can be made: {}", chain(&err.without_url())))
    }
}

/// Whether a server could take a path's part, or what is left of it once it is decoded as often as servers and proxies in a
/// row may do, for one that leads upwards.
fn climbs(part: &str) -> bool {
    const DEPTH: usize = 8;
    let mut part = part.to_owned();
    for _ in 0..DEPTH {
        if part.split(['/', '\\']).any(|it| matches!(it, "." | "..")) {
            return true;
        }
        let next = decoded(&part);
        if next == part {
            return false;
        }
        part = next;
    }
    true
}

fn method(text: &str) -> Answer<Method> {
    let token = !text.is_empty() && text.len() <= 32 && text.bytes().all(|it| it.is_ascii_uppercase() || it == b'-');
    if !token || matches!(text, "CONNECT" | "TRACE") {
        return malformed("the method is none that a plugin may use");
    }
    Method::from_bytes(text.as_bytes()).map_err(|err| wit::HttpError::Malformed(err.to_string()))
}

/// What an error says about whether the request had an effect.
fn explain(err: reqwest::Error) -> wit::HttpError {
    // The URL may hold what nobody shall read in a message.
    let err = err.without_url();
    let mut cause = err.source();
    while let Some(it) = cause {
        if let Some(refused) = it.downcast_ref::<Unreachable>() {
            return wit::HttpError::Denied(refused.to_string());
        }
        cause = it.source();
    }
    let text = chain(&err);
    if err.is_builder() {
        wit::HttpError::Malformed(text)
    } else if err.is_connect() {
        wit::HttpError::Unreachable(text)
    } else if err.is_timeout() {
        wit::HttpError::TimedOut
    } else {
        wit::HttpError::Interrupted(text)
    }
}

fn chain(err: &reqwest::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(it) = cause {
        text.push_str(": ");
        text.push_str(&it.to_string());
        cause = it.source();
    }
    crate::log::clean(&text, 1024)
}

fn denied<T>(text: impl Into<String>) -> Answer<T> {
    Err(wit::HttpError::Denied(text.into()))
}

fn malformed<T>(text: impl Into<String>) -> Answer<T> {
    Err(wit::HttpError::Malformed(text.into()))
}
