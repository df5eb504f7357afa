//! Credentials that are renewed while they are used: those of clusters, and keys that sign.
//!
//! Owns when one is asked for anew, and nothing of where it comes from: that is the engine's, behind [`Login`]. Files are read
//! and programs run on threads of their own, so that no other request waits for them.

use std::fmt;
use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::time::Instant;
use url::Url;

use super::sigv4::Keys;
use crate::grant::{Credential, Scheme};
use crate::services::Secret;

/// A client's certificate.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The certificate and those between it and its authority, PEM.
    pub cert_pem: String,
    pub key_pem: Secret,
}

/// What is shown to a server, as it was got at one moment. Two of the same content are one value: who got a refused one again,
/// which `Arc::ptr_eq` tells, has nothing newer to try.
#[derive(Debug, Default)]
pub struct Held {
    /// The whole value of the `Authorization` header, such as `Bearer …`.
    pub authorization: Option<Secret>,
    /// Kept as one value while its content is the same, as connections are made anew for another one.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// What a request is signed with; shown to nobody itself.
    pub keys: Option<Keys>,
}

/// Where a credential comes from that has an end.
pub trait Login: fmt::Debug + Send + Sync {
    /// Whose it is, for messages: ``context `prod` of `/home/ann/.kube/config`, user `ann` ``.
    fn whose(&self) -> String;

    /// What was got earlier and may be shown still. Reads no file and waits for nobody; none where [`Login::fetch`] must be asked.
    fn held(&self) -> Option<Arc<Held>>;

    /// Gets what is to be shown now. With `refused`, which a server did not believe, something else where there is anything
    /// else. May read files and run a program, for as long as that one may take; callers at the same time wait for one answer.
    ///
    /// # Errors
    ///
    /// Says what is wrong and what to do about it, never with a value in it.
    fn fetch(&self, refused: Option<&Arc<Held>>) -> Result<Arc<Held>, String>;

    /// Every secret text that was got so far, for whoever must keep them out of what is written.
    fn values(&self) -> Vec<String>;
}

/// The API server of a cluster, as a kubeconfig or a pod's service account names it.
#[derive(Debug)]
pub struct Cluster {
    pub login: Arc<dyn Login>,
    /// A name that the server's certificate must hold in place of the URL's, and that is asked for in the handshake.
    pub server_name: Option<String>,
    /// The operator agreed to a server whose certificate is not looked at.
    pub insecure: bool,
}

/// The cluster that a request goes to with a credential, if it is one of a cluster.
pub(super) fn cluster(credential: Option<&Credential>) -> Option<&Cluster> {
    match &credential?.scheme {
        Scheme::Kubeconfig(cluster) => Some(cluster),
        _ => None,
    }
}

impl Credential {
    /// Gets what is to be shown now, before `end`.
    ///
    /// # Errors
    ///
    /// Words that name the credential. Nothing was sent then.
    pub(super) async fn shown(
        &self,
        login: &Arc<dyn Login>,
        refused: Option<&Arc<Held>>,
        end: Instant,
    ) -> Result<Arc<Held>, String> {
        if refused.is_none()
            && let Some(held) = login.held()
        {
            return Ok(held);
        }
        let (asked, refused) = (Arc::clone(login), refused.cloned());
        let got = tokio::task::spawn_blocking(move || asked.fetch(refused.as_ref()));
        let wrong = match tokio::time::timeout_at(end, got).await {
            Ok(Ok(Ok(held))) => return Ok(held),
            Ok(Ok(Err(words))) => words,
            Ok(Err(_)) => format!("{}: asking for it was broken off", login.whose()),
            // It goes on, and whoever asks next finds what came of it.
            Err(_) => format!("{}: it was not to be had in time", login.whose()),
        };
        Err(crate::log::clean(&format!("credential `{}`: {wrong}", self.name), 1024))
    }

    /// The URL under the name that the server's certificate must hold. The resolver leads that name to the server's own place.
    pub(super) fn renamed(&self, cluster: &Cluster, url: &Url) -> Option<Url> {
        let name = cluster.server_name.as_deref()?;
        let base = self.base().filter(|it| it.origin() == url.origin())?;
        let mut url = url.clone();
        // Never fails for the schemes that have hosts; the URL's own name is asked for then, and refused by TLS.
        (url.set_host(Some(name)).is_ok() && base.scheme() == "https").then_some(url)
    }
}

impl Held {
    /// Puts the header in, in place of an older one. `name` is the credential's.
    ///
    /// # Errors
    ///
    /// Fails where the value cannot stand in a header; the text never holds it.
    pub(super) fn attach(&self, name: &str, headers: &mut HeaderMap) -> Result<(), String> {
        let Some(secret) = &self.authorization else {
            headers.remove(AUTHORIZATION);
            return Ok(());
        };
        let mut value = HeaderValue::from_str(secret.expose())
            .map_err(|_| format!("the value of credential `{name}` cannot stand in a header"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}
