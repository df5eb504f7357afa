//! A repository of a registry: manifests and blobs, read and written.

use std::sync::Arc;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use trueup_core::value::Digest;
use trueup_host::Credential;

use super::connection::{Access, Ask, Connection, body};
use super::image::{INDEX, MANIFEST, Raw};
use super::reference::Reference;
use super::{MAX_MANIFEST, Patience, RegistryError, shown};

/// Header in which a registry names the digest of a manifest.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// One repository.
pub struct Remote {
    repository: Reference,
    connection: Connection,
}

/// What a push came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    New,
    /// The registry had it already.
    Known,
}

impl Remote {
    /// The repository of a reference; `credential` must be for its origin. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// Where the reference leads to where no registry is, or the credential's certificates are none.
    pub fn new(reference: &Reference, credential: Option<Arc<Credential>>, patience: Patience) -> Result<Self, RegistryError> {
        let connection = Connection::new(reference, credential, patience)?;
        Ok(Self { repository: reference.clone(), connection })
    }

    /// Host and name.
    pub fn repository(&self) -> &Reference {
        &self.repository
    }

    fn path(&self, kind: &str, version: &str) -> String {
        format!("/v2/{}/{kind}/{version}", self.repository.name)
    }

    /// The manifest under a tag or a digest (`sha256:…`), not judged beyond that digest; None where there is none.
    pub(super) async fn manifest(&self, version: &str) -> Result<Option<Raw>, RegistryError> {
        let mut ask = Ask::new(Method::GET, self.connection.url(&self.path("manifests", version))?, Access::Pull);
        let accept = HeaderValue::from_str(&format!("{MANIFEST}, {INDEX}, application/json;q=0.1"));
        ask.headers.extend(accept.ok().map(|it| (ACCEPT, it)));
        let response = self.connection.send(&ask).await?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let what = format!("the manifest `{}:{version}`", self.repository.name);
        if !response.status().is_success() {
            return Err(self.connection.failed(response, &what).await);
        }
        let text = |name: &str| response.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
        let (told, media_type) = (text(CONTENT_DIGEST), text("content-type"));
        let bytes = body(&self.connection, response, MAX_MANIFEST, &what).await?;
        let digest = Digest::of(&bytes);
        // A registry that contradicts itself serves something else to somebody.
        if let Some(told) = told.filter(|it| it.starts_with("sha256:") && *it != format!("sha256:{digest}")) {
            let text = format!("{} calls {what} {}, and it is sha256:{digest}", self.connection.at(), shown(&told));
            return Err(RegistryError::refused(text));
        }
        Ok(Some(Raw { bytes, digest, media_type }))
    }

    /// A blob of at most `limit` bytes, and exactly `size` where that is known.
    pub(super) async fn blob(&self, digest: &Digest, size: Option<u64>, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let ask = Ask::new(Method::GET, self.connection.url(&self.path("blobs", &format!("sha256:{digest}")))?, Access::Pull);
        let response = self.connection.send(&ask).await?;
        let what = format!("the blob sha256:{digest}");
        if !response.status().is_success() {
            return Err(self.connection.failed(response, &what).await);
        }
        body(&self.connection, response, size.unwrap_or(limit).min(limit), &what).await
    }

    /// Sends a blob, unless the registry has it.
    ///
    /// # Errors
    ///
    /// Where it cannot be reached, refuses, or broke off: the same push again begins with what is missing.
    pub async fn push_blob(&self, bytes: &[u8]) -> Result<Pushed, RegistryError> {
        let digest = Digest::of(bytes);
        let head = Ask::new(Method::HEAD, self.connection.url(&self.path("blobs", &format!("sha256:{digest}")))?, Access::Push);
        let there = self.connection.send(&head).await?;
        if there.status().is_success() {
            return Ok(Pushed::Known);
        }
        let what = format!("the upload of sha256:{digest}");
        let begin = Ask::new(Method::POST, self.connection.url(&self.path("blobs", "uploads/"))?, Access::Push);
        let begun = self.connection.send(&begin).await?;
        if !begun.status().is_success() {
            return Err(self.connection.failed(begun, &what).await);
        }
        let mut url = self.connection.onward(&begin.url, &begun)?;
        url.query_pairs_mut().append_pair("digest", &format!("sha256:{digest}"));
        let mut put = Ask::new(Method::PUT, url, Access::Push);
        put.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        put.body = bytes.to_vec();
        let done = self.connection.send(&put).await?;
        if done.status().is_success() { Ok(Pushed::New) } else { Err(self.connection.failed(done, &what).await) }
    }

    /// Sends a manifest whose blobs are there, under a tag or its own digest.
    ///
    /// # Errors
    ///
    /// As [`Remote::push_blob`].
    pub async fn push_manifest(&self, version: &str, media_type: &str, bytes: &[u8]) -> Result<Pushed, RegistryError> {
        if self.manifest(version).await?.is_some_and(|it| it.bytes == bytes) {
            return Ok(Pushed::Known);
        }
        let mut put = Ask::new(Method::PUT, self.connection.url(&self.path("manifests", version))?, Access::Push);
        put.headers.extend(HeaderValue::from_str(media_type).ok().map(|it| (CONTENT_TYPE, it)));
        put.body = bytes.to_vec();
        let done = self.connection.send(&put).await?;
        let what = format!("the manifest `{}:{version}`", self.repository.name);
        if done.status().is_success() { Ok(Pushed::New) } else { Err(self.connection.failed(done, &what).await) }
    }
}
