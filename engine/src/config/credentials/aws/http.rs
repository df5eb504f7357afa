//! Requests of a login: bounded, tried again where that may help, without a proxy of the environment, and led nowhere else.

use std::error::Error as _;
use std::future::Future;
use std::thread;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Method, redirect};
use trueup_core::text::clean;
use trueup_host::sigv4::date_of;
use url::{Host, Url};

const CONNECT: Duration = Duration::from_secs(3);
/// For one try.
const LIMIT: Duration = Duration::from_secs(8);
const TRIES: u32 = 3;
const BEFORE_RETRY: Duration = Duration::from_millis(200);
/// Bytes of an answer.
const BYTES: usize = 1 << 20;

/// Does work that waits for servers, on a thread of its own: a login may be asked for from anywhere.
///
/// # Errors
///
/// Those of the work.
pub(super) fn wait<T: Send>(work: impl Future<Output = Result<T, String>> + Send) -> Result<T, String> {
    let broken = || Err("asking for it was broken off".to_owned());
    let run = || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(err) => Err(format!("nothing can be asked for: {err}")),
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|_| broken()))
}

/// A client for one login, used once.
pub(super) struct Http(Client);

/// A request.
pub(super) struct Ask {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// What came.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Ask {
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Vec::new() }
    }
}

impl Answer {
    /// The server's time, where it says so.
    pub fn date(&self) -> Option<SystemTime> {
        date_of(self.headers.get(DATE)?.to_str().ok()?)
    }

    /// How long something lasts that ends at a time of the server's: by its own clock, as ours may be another one. None where
    /// that is over.
    pub fn until(&self, end: SystemTime) -> Option<Duration> {
        let now = self.date().unwrap_or_else(SystemTime::now);
        end.duration_since(now).ok().filter(|it| !it.is_zero())
    }

    pub fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(&self.body).map_err(|_| "the answer is not UTF-8".to_owned())
    }
}

impl Http {
    /// # Errors
    ///
    /// Where the authorities of the entry are no PEM.
    pub fn new(ca_pem: Option<&str>) -> Result<Self, String> {
        // Installed once per process; another part of it may have been first with the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .timeout(LIMIT)
            .user_agent(concat!("trueup/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = ca_pem {
            let certificates = Certificate::from_pem_bundle(pem.as_bytes()).ok().filter(|it| !it.is_empty());
            builder = builder.tls_certs_merge(certificates.ok_or("the entry's `ca` is no PEM that can be used")?);
        }
        builder.build().map(Self).map_err(|err| format!("no connection can be made: {err}"))
    }

    /// Sends a request, and again where nothing came of it or the server says that it cannot now. None of what a login asks for
    /// does harm when it is done twice.
    ///
    /// # Errors
    ///
    /// Words with the server's name where there is no answer.
    pub async fn send(&self, ask: &Ask) -> Result<Answer, String> {
        let mut pause = BEFORE_RETRY;
        for _ in 1..TRIES {
            match self.once(ask).await {
                Ok(answer) if answer.status != 429 && answer.status < 500 => return Ok(answer),
                Ok(_) | Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        self.once(ask).await
    }

    async fn once(&self, ask: &Ask) -> Result<Answer, String> {
        let origin = ask.url.origin().ascii_serialization();
        let fail = |err: reqwest::Error| format!("`{origin}` gave no answer: {}", chain(&err.without_url()));
        let mut headers = ask.headers.clone();
        // Some servers take no PUT or POST that does not say how long its body is, be it nothing.
        if ask.body.is_empty() && ask.method != Method::GET {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let request = self.0.request(ask.method.clone(), ask.url.clone()).headers(headers).body(ask.body.clone());
        let mut response = request.send().await.map_err(fail)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fail)? {
            body.extend_from_slice(&chunk);
            if body.len() > BYTES {
                return Err(format!("`{origin}` answered with more than 1 MiB"));
            }
        }
        Ok(Answer { status, headers, body })
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
    clean(&text, 500)
}

/// Whether a URL is one that secrets may be sent to: encrypted, or not leaving this machine.
pub(super) fn is_safe(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Ipv4(it)) => it.is_loopback(),
        Some(Host::Ipv6(it)) => it.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && here)
}

/// A server's words about a failure, for a message.
pub(super) fn words(status: u16, code: Option<&str>, message: Option<&str>) -> String {
    let code = code.map_or_else(|| status.to_string(), |it| clean(it, 80));
    match message.filter(|it| !it.is_empty()) {
        Some(message) => format!("{code}: {}", clean(message, 300)),
        None => code,
    }
}
