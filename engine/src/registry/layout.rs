//! A bundle: an OCI image layout, the standard's own form of a folder of artifacts, to be carried to where no network is.
//!
//! Nothing inside names a file: blobs are found under their digests alone, and links are not followed.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use trueup_core::value::{Digest, json};

use super::image::{Descriptor, MANIFEST, Raw};
use super::{MAX_MANIFEST, RegistryError, shown};
use crate::private;

const MARK: &str = "oci-layout";
const INDEX_FILE: &str = "index.json";
/// Annotation that names an artifact of the index.
const NAME: &str = "org.opencontainers.image.ref.name";

/// A folder of artifacts.
pub struct Layout {
    folder: PathBuf,
    /// `manifests` of the index.
    manifests: Vec<Json>,
}

impl Layout {
    /// Opens a bundle.
    ///
    /// # Errors
    ///
    /// Where the folder is no layout that this version knows.
    pub fn open(folder: &Path) -> Result<Self, RegistryError> {
        let wrong = |what: &str| RegistryError::refused(format!("`{}` is no bundle: {what}", folder.display()));
        let read = |name: &str| file(&folder.join(name), MAX_MANIFEST).map_err(|error| wrong(&format!("`{name}`: {error}")));
        let mark: Json = serde_json::from_slice(&read(MARK)?).map_err(|_| wrong("`oci-layout` is not JSON"))?;
        match mark.get("imageLayoutVersion").and_then(Json::as_str) {
            Some(version) if version.starts_with("1.") => {}
            other => return Err(wrong(&format!("it has the layout version `{}`", shown(other.unwrap_or_default())))),
        }
        let index: Json = serde_json::from_slice(&read(INDEX_FILE)?).map_err(|_| wrong("`index.json` is not JSON"))?;
        let manifests = index.get("manifests").and_then(Json::as_array).cloned();
        Ok(Self { folder: folder.to_owned(), manifests: manifests.ok_or_else(|| wrong("its index names no manifests"))? })
    }

    /// Opens a bundle to add to it; one that is not there is made.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be made, or is something else.
    pub fn create(folder: &Path) -> Result<Self, RegistryError> {
        let failed = |error: io::Error| RegistryError::local(format!("the bundle `{}` cannot be made", folder.display()), error);
        if folder.join(MARK).exists() {
            return Self::open(folder);
        }
        if fs::read_dir(folder).is_ok_and(|mut it| it.next().is_some()) {
            let text = format!("`{}` is no bundle, and not empty", folder.display());
            return Err(RegistryError::refused(text).hint("name a new folder"));
        }
        fs::create_dir_all(folder.join("blobs/sha256")).map_err(failed)?;
        let this = Self { folder: folder.to_owned(), manifests: Vec::new() };
        this.write_index()?;
        private::write(&folder.join(MARK), json!({"imageLayoutVersion": "1.0.0"}).to_string().as_bytes()).map_err(failed)?;
        Ok(this)
    }

    fn write_index(&self) -> Result<(), RegistryError> {
        let text = json!({"schemaVersion": 2, "mediaType": super::image::INDEX, "manifests": self.manifests});
        let path = self.folder.join(INDEX_FILE);
        let written = private::write(&path, format!("{text:#}\n").as_bytes());
        written.map_err(|error| RegistryError::local(format!("`{}` cannot be written", path.display()), error))
    }

    /// The manifest under a name (`oci://host/name:tag`) or a digest (`sha256:…`); None where it is not in the bundle.
    pub(super) fn manifest(&self, name: &str, digest: Option<&Digest>) -> Result<Option<Raw>, RegistryError> {
        let named = |it: &&Json| match digest {
            Some(digest) => it.get("digest").and_then(Json::as_str) == Some(&format!("sha256:{digest}")),
            None => it.pointer("/annotations").and_then(|it| it.get(NAME)).and_then(Json::as_str) == Some(name),
        };
        let mut found = self.manifests.iter().filter(named);
        let Some(entry) = found.next() else { return Ok(None) };
        let entry = Descriptor::read(entry, "entry in the index")?;
        let bytes = self.blob(&entry.digest, MAX_MANIFEST)?;
        Ok(Some(Raw { bytes, digest: entry.digest, media_type: Some(entry.media_type) }))
    }

    /// A blob of at most `limit` bytes, not judged.
    pub(super) fn blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let path = self.path(digest);
        file(&path, limit).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                RegistryError::missing(format!("the bundle `{}` lacks sha256:{digest}", self.folder.display()))
            }
            _ => RegistryError::refused(format!(
                "sha256:{digest} of the bundle `{}` cannot be used: {error}",
                self.folder.display()
            )),
        })
    }

    /// Adds a blob.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<(), RegistryError> {
        let path = self.path(&Digest::of(bytes));
        if file(&path, bytes.len() as u64).is_ok_and(|it| it == bytes) {
            return Ok(());
        }
        private::write(&path, bytes)
            .map_err(|error| RegistryError::local(format!("`{}` cannot be written", path.display()), error))
    }

    /// Adds a manifest under a name, in place of what had it. Its blobs must be there.
    pub(super) fn put_manifest(&mut self, name: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        self.put(bytes)?;
        self.manifests.retain(|it| it.pointer("/annotations").and_then(|it| it.get(NAME)).and_then(Json::as_str) != Some(name));
        let digest = format!("sha256:{}", Digest::of(bytes));
        self.manifests.push(json!({"mediaType": MANIFEST, "digest": digest, "size": bytes.len(), "annotations": {NAME: name}}));
        self.manifests.sort_by_key(|it| it.pointer("/annotations").map(Json::to_string));
        self.write_index()
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.to_string())
    }
}

/// A plain file, at most `limit` bytes of it; a link is none.
fn file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits() | rustix::fs::OFlags::NONBLOCK.bits();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(io::Error::other(format!("it is longer than {limit} bytes"))) } else { Ok(bytes) }
}
