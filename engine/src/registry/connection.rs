//! Requests to one registry: judged addresses, logins, redirects, sizes.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Certificate, Client, Method, Response, StatusCode, redirect};
use serde_json::Value as Json;
use trueup_host::Credential;
use url::Url;

use super::login::{self, Challenge};
use super::reach::{Home, Inside, Unknown};
use super::reference::Reference;
use super::tls::{self, Remedy};
use super::{Patience, RegistryError, Trouble, shown};

/// Redirects of one request.
const HOPS: usize = 3;
/// Bytes of an answer that says why something failed, and of a token server's.
const MAX_WORDS: u64 = 256 << 10;

/// What a repository is entered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Access {
    Pull,
    Push,
}

impl Access {
    fn actions(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        }
    }
}

/// One request.
pub(super) struct Ask {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub access: Access,
}

impl Ask {
    pub(super) fn new(method: Method, url: Url, access: Access) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Vec::new(), access }
    }
}

/// Requests to one repository of one registry.
pub(super) struct Connection {
    client: Client,
    home: Home,
    base: Url,
    /// The repository's name, for scopes of tokens.
    name: String,
    credential: Option<Arc<Credential>>,
    known: Mutex<HashMap<Access, HeaderValue>>,
    patience: Patience,
}

impl Connection {
    /// Connects to nothing yet. `credential` must be for the registry's origin.
    pub(super) fn new(
        repository: &Reference,
        credential: Option<Arc<Credential>>,
        patience: Patience,
    ) -> Result<Self, RegistryError> {
        // Installed once per process; another part of it may have been first with the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = Url::parse(&repository.origin()).map_err(|error| RegistryError::reference(error.to_string()))?;
        let home = Home::new(&repository.host);
        home.judge(&base).map_err(|what| RegistryError::refused(format!("the registry is named as {what}")))?;
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            // Bodies are bytes of a digest: nothing that unfolds is asked for or taken.
            .no_gzip()
            .dns_resolver(Arc::new(home.clone()))
            .connect_timeout(patience.connect)
            .read_timeout(patience.idle)
            .timeout(patience.request)
            .user_agent(concat!("trueup/", env!("CARGO_PKG_VERSION")));
        if let Some((credential, pem)) = credential.as_ref().and_then(|it| Some((it, it.ca_pem.as_ref()?))) {
            let certificates = Certificate::from_pem_bundle(pem.as_bytes()).ok().filter(|it| !it.is_empty());
            let wrong = || RegistryError::new(Trouble::Login, format!("the `ca` of credential `{}` is no PEM", credential.name));
            builder = builder.tls_certs_merge(certificates.ok_or_else(wrong)?);
        }
        let client =
            builder.build().map_err(|error| RegistryError::unreachable(format!("no connection can be made: {error}")))?;
        Ok(Self { client, home, base, name: repository.name.clone(), credential, known: Mutex::default(), patience })
    }

    /// A URL of this registry from its path; the path is made of judged parts.
    pub(super) fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.base.join(path).map_err(|error| RegistryError::reference(error.to_string()))
    }

    /// Where an upload goes on, which the registry names itself: never another origin, as what is sent there is ours.
    pub(super) fn onward(&self, from: &Url, response: &Response) -> Result<Url, RegistryError> {
        let url = location(from, response)
            .ok_or_else(|| RegistryError::refused(format!("{} does not say where an upload goes", self.at())))?;
        if url.origin() == self.base.origin() && url.username().is_empty() && url.password().is_none() {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        Err(RegistryError::refused(format!("{} wants an upload to be sent to `{}`, another server", self.at(), shown(&host))))
    }

    /// How people know the registry.
    pub(super) fn at(&self) -> String {
        format!("the registry `{}`", self.base.as_str().trim_end_matches('/'))
    }

    /// Sends a request, logs in where that is asked, and follows redirects of reads.
    ///
    /// # Errors
    ///
    /// Where no answer came, a login failed, or a redirect leads where none may. Other statuses are answers.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Response, RegistryError> {
        let mut authorization = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&ask.access).cloned();
        let mut response = self.once(ask, &ask.url, authorization.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let (given, hint) = self.login(&response, ask.access).await?;
            response = self.once(ask, &ask.url, Some(&given)).await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                return Err(self.refused_login(hint));
            }
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(ask.access, given.clone());
            authorization = Some(given);
        }
        let reads = matches!(ask.method, Method::GET | Method::HEAD);
        let mut url = ask.url.clone();
        for hop in 0.. {
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                break;
            }
            if !reads || hop >= HOPS {
                let what = if reads { format!("more than {HOPS} redirects") } else { "a redirect of what is written".to_owned() };
                return Err(RegistryError::refused(format!("{} answered with {what}", self.at())));
            }
            let next = location(&url, &response);
            let next = next.ok_or_else(|| RegistryError::refused(format!("{} redirects to nowhere", self.at())))?;
            self.home.judge(&next).map_err(|what| RegistryError::refused(format!("{} redirects to {what}", self.at())))?;
            // What was granted for this origin stays with it.
            let same = next.origin() == self.base.origin();
            response = self.once(ask, &next, authorization.as_ref().filter(|_| same)).await?;
            url = next;
        }
        Ok(response)
    }

    async fn once(&self, ask: &Ask, url: &Url, authorization: Option<&HeaderValue>) -> Result<Response, RegistryError> {
        let mut request = self.client.request(ask.method.clone(), url.clone()).headers(ask.headers.clone());
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        if ask.method != Method::GET && ask.method != Method::HEAD {
            request = request.body(ask.body.clone());
        }
        request.send().await.map_err(|error| self.explain(error))
    }

    /// The header that the registry asks for, and what to say where it does not do.
    async fn login(&self, response: &Response, access: Access) -> Result<(HeaderValue, Option<String>), RegistryError> {
        let own = match &self.credential {
            Some(it) => login::own_header(it)?.map(|header| (it, header)),
            None => None,
        };
        match (login::challenge(response.headers()), own) {
            (Some(Challenge::Basic), Some((_, header))) => Ok((header, None)),
            (Some(Challenge::Token { .. }), Some((_, header))) if header.as_bytes().starts_with(b"Bearer ") => Ok((header, None)),
            (Some(Challenge::Token { realm, service }), own) => {
                let scope = format!("repository:{}:{}", self.name, access.actions());
                let url = login::token_url(&realm, service.as_deref(), &scope)?;
                self.home
                    .judge(&url)
                    .map_err(|what| RegistryError::refused(format!("{} asks for a token from {what}", self.at())))?;
                let granted = own.as_ref().filter(|(it, _)| it.origins.iter().any(|origin| origin.allows(&url)));
                let hint = match (&own, granted) {
                    (Some((it, _)), None) => Some(format!(
                        "credential `{}` is not for {}, which gives the tokens: add that to its `origins`",
                        it.name,
                        shown(&url.origin().ascii_serialization())
                    )),
                    _ => None,
                };
                let ask = Ask::new(Method::GET, url, access);
                let answer = self.once(&ask, &ask.url, granted.map(|it| &it.1)).await?;
                if !answer.status().is_success() {
                    let status = answer.status();
                    let error =
                        RegistryError::new(Trouble::Login, format!("the token server of {} answered {status}", self.at()));
                    return Err(match hint.or_else(|| self.how_to_log_in()) {
                        Some(hint) => error.hint(hint),
                        None => error,
                    });
                }
                let words = body(self, answer, MAX_WORDS, "the answer of the token server").await?;
                Ok((login::token(&words)?, hint))
            }
            (_, _) => Err(self.refused_login(None)),
        }
    }

    fn refused_login(&self, hint: Option<String>) -> RegistryError {
        let text = match &self.credential {
            Some(it) => format!("{} does not take the credential `{}`", self.at(), it.name),
            None => format!("{} wants a login", self.at()),
        };
        let error = RegistryError::new(Trouble::Login, text);
        match hint.or_else(|| self.how_to_log_in()) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    fn how_to_log_in(&self) -> Option<String> {
        let origin = self.base.as_str().trim_end_matches('/');
        self.credential.is_none().then(|| {
            format!("an entry of credentials.yaml with `registry: true`, `origins: [\"{origin}\"]` and `basic` or `bearer` is sent there")
        })
    }

    /// An answer that is no success, in words.
    pub(super) async fn failed(&self, response: Response, what: &str) -> RegistryError {
        let status = response.status();
        let words = body(self, response, MAX_WORDS, "its answer").await.unwrap_or_default();
        let json: Json = serde_json::from_slice(&words).unwrap_or_default();
        let told = json.pointer("/errors/0/message").or_else(|| json.pointer("/errors/0/code")).and_then(Json::as_str);
        let told = told.map(|it| format!(" ({})", shown(it))).unwrap_or_default();
        let text = format!("{} answered {}{told} to {what}", self.at(), status.as_u16());
        match status {
            StatusCode::NOT_FOUND => RegistryError::missing(format!("{} has no such thing: {what}", self.at())),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let error = RegistryError::new(Trouble::Login, text);
                match self.how_to_log_in() {
                    Some(hint) => error.hint(hint),
                    None => error.hint("the login does not reach that far"),
                }
            }
            it if it.is_server_error() || it == StatusCode::TOO_MANY_REQUESTS => RegistryError::unreachable(text),
            _ => RegistryError::refused(text),
        }
    }

    /// What was wrong with the encrypted connection.
    fn distrusted(&self, fault: &rustls::Error) -> RegistryError {
        let error = RegistryError::refused(format!("{} cannot be used: {}", self.at(), tls::words(fault)));
        let origin = self.base.as_str().trim_end_matches('/');
        error.hint(match (tls::remedy(fault), &self.credential) {
            (Remedy::Authority, Some(it)) => {
                format!("if it is one of your own: name its PEM as `ca` of credential `{}` in credentials.yaml", it.name)
            }
            (Remedy::Authority, None) => format!(
                "if it is one of your own: name its PEM as `ca` in an entry of credentials.yaml with `registry: true` and `origins: \
                 [\"{origin}\"]`"
            ),
            (Remedy::Issue, _) => {
                "have one issued for the server (`CA:FALSE`), and name its authority's PEM as `ca` in credentials.yaml".to_owned()
            }
            (Remedy::Name, _) => "is the host spelt right? it answers under another name".to_owned(),
            (Remedy::Clock, _) => "is this machine's clock right? else its operator has to renew it".to_owned(),
            (Remedy::Server, _) => "is the port right? what listens there is no registry with TLS".to_owned(),
        })
    }

    /// What an error of the client means.
    pub(super) fn explain(&self, error: reqwest::Error) -> RegistryError {
        let (timeout, connect) = (error.is_timeout(), error.is_connect());
        // The URL may hold what a redirect put there.
        let error = error.without_url();
        let (mut words, mut cause) = (error.to_string(), error.source());
        while let Some(it) = cause {
            if let Some(inside) = it.downcast_ref::<Inside>() {
                return RegistryError::refused(format!("{} cannot be used: {inside}", self.at()));
            }
            // Neither of these two is another one at the next try.
            if let Some(unknown) = it.downcast_ref::<Unknown>().filter(|it| !it.later) {
                let text = format!("{} cannot be reached: there is no host `{}`", self.at(), shown(&unknown.name));
                return RegistryError::refused(text).hint("is it spelt right? a name of your own network may want its VPN");
            }
            if let Some(fault) = tls::fault(it) {
                return self.distrusted(fault);
            }
            words = format!("{words}: {it}");
            cause = it.source();
        }
        let at = self.at();
        RegistryError::unreachable(match (connect, timeout) {
            (true, _) => format!("{at} cannot be reached: {}", shown(&words)),
            (false, true) => format!(
                "{at} was silent for {} s, or took longer than {} s",
                self.patience.idle.as_secs_f32(),
                self.patience.request.as_secs_f32()
            ),
            _ => format!("{at} broke off: {}", shown(&words)),
        })
    }
}

/// The body of an answer, at most `limit` bytes of it.
///
/// # Errors
///
/// Where it is longer, declared or not, is packed, or breaks off.
pub(super) async fn body(from: &Connection, mut response: Response, limit: u64, what: &str) -> Result<Vec<u8>, RegistryError> {
    let encoding = response.headers().get(CONTENT_ENCODING).map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
    if let Some(encoding) = encoding.filter(|it| !it.eq_ignore_ascii_case("identity")) {
        let text = format!("{} packs {what} (`Content-Encoding: {}`), which was not asked for", from.at(), shown(&encoding));
        return Err(RegistryError::refused(text));
    }
    let large = || RegistryError::refused(format!("{} sends more than {limit} bytes for {what}", from.at()));
    if response.content_length().is_some_and(|it| it > limit) {
        return Err(large());
    }
    let mut out = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| from.explain(error))? {
        if (out.len() as u64).saturating_add(chunk.len() as u64) > limit {
            return Err(large());
        }
        out.extend_from_slice(&chunk);
    }
    Ok(out)
}

fn location(from: &Url, response: &Response) -> Option<Url> {
    let text = response.headers().get(LOCATION)?.to_str().ok().filter(|it| it.len() <= 16 << 10)?;
    let mut url = from.join(text).ok()?;
    url.set_fragment(None);
    Some(url)
}
