//! Where artifacts are: a repository of a registry, or a bundle. What comes from either is judged here, in one way.

use trueup_core::value::Digest;

use super::image::{Image, MANIFEST, Packed, Raw};
use super::key::SigningKey;
use super::layout::Layout;
use super::reference::Reference;
use super::remote::{Pushed, Remote};
use super::signature::{self, Policy, Signed};
use super::{MAX_COMPONENT, RegistryError};

/// Something that holds artifacts.
pub enum Place {
    Remote(Box<Remote>),
    Layout(Layout),
}

/// What is looked for.
pub struct Wanted<'a> {
    pub reference: &'a Reference,
    pub policy: &'a Policy,
}

/// A component that was judged, whole in memory.
pub struct Found {
    pub image: Image,
    config: Vec<u8>,
    pub component: Vec<u8>,
    /// None where nobody signed it, and the policy allows that.
    pub signed: Option<Signed>,
}

impl Place {
    /// The manifest of a reference, judged.
    ///
    /// # Errors
    ///
    /// Where it is not there, is not what its digest says, or is no plugin.
    pub async fn image(&self, reference: &Reference) -> Result<Image, RegistryError> {
        let raw = self.raw(reference).await?;
        Image::judge(&raw.ok_or_else(|| self.none(reference))?)
    }

    /// What there is of a reference: manifest, configuration, signature, component, each judged before the next is asked for.
    ///
    /// # Errors
    ///
    /// [`RegistryError`] says what was refused, and by which rule.
    pub async fn find(&self, wanted: &Wanted<'_>) -> Result<Found, RegistryError> {
        let image = self.image(wanted.reference).await?;
        let signed = signature::judge(self, wanted.reference, &image.digest, wanted.policy).await?;
        let config = self.blob(&image.config.digest, Some(image.config.size), super::MAX_MANIFEST).await?;
        image.judge_config(&config)?;
        let component = self.component(&image.layer.digest, Some(image.layer.size)).await?;
        Ok(Found { image, config, component, signed })
    }

    /// Publishes a component under the tag of a reference. The manifest comes last, so that what can be found is whole.
    ///
    /// # Errors
    ///
    /// Where the tag leads to something else and `move_tag` does not say that it may, and as for any request.
    pub async fn publish(&mut self, reference: &Reference, packed: &Packed, move_tag: bool) -> Result<Pushed, RegistryError> {
        match self.raw(reference).await? {
            Some(raw) if raw.digest == packed.digest => return Ok(Pushed::Known),
            Some(raw) if !move_tag => {
                let text = format!("`{reference}` is something else already, sha256:{}", raw.digest);
                return Err(RegistryError::refused(text).hint("name a new tag, or let this one lead elsewhere with --move-tag"));
            }
            _ => {}
        }
        self.put_blob(&packed.config).await?;
        self.put_blob(&packed.component).await?;
        self.put_manifest(reference, &packed.manifest).await
    }

    /// Signs what lies under a digest; see [`Policy`] for what is asked of signatures.
    ///
    /// # Errors
    ///
    /// Where the key cannot sign, and as for any request.
    pub async fn sign(&mut self, reference: &Reference, digest: &Digest, key: &SigningKey) -> Result<Pushed, RegistryError> {
        signature::sign(self, reference, digest, key).await
    }

    /// Who of the trusted signed what lies under a digest.
    ///
    /// # Errors
    ///
    /// Where nobody of them did.
    pub async fn signer(&self, reference: &Reference, digest: &Digest, policy: &Policy) -> Result<Signed, RegistryError> {
        signature::verify(self, reference, digest, policy).await
    }

    /// A component by its digest alone, of a size that is not known.
    pub async fn component(&self, digest: &Digest, size: Option<u64>) -> Result<Vec<u8>, RegistryError> {
        self.blob(digest, size, MAX_COMPONENT).await
    }

    /// A manifest that is just what its reference's digest says; None where there is none.
    pub(super) async fn raw(&self, reference: &Reference) -> Result<Option<Raw>, RegistryError> {
        let raw = match self {
            Self::Remote(remote) => remote.manifest(&reference.version()).await?,
            Self::Layout(layout) => layout.manifest(&name_of(reference), reference.digest.as_ref())?,
        };
        let Some(raw) = raw else { return Ok(None) };
        let want = reference.digest.unwrap_or(raw.digest);
        let got = Digest::of(&raw.bytes);
        if got != want {
            return Err(RegistryError::refused(format!(
                "the manifest of `{reference}` is sha256:{got}, and sha256:{want} was asked for"
            )));
        }
        Ok(Some(Raw { digest: got, ..raw }))
    }

    /// A blob that is just what its digest and size say.
    pub(super) async fn blob(&self, digest: &Digest, size: Option<u64>, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let bytes = match self {
            Self::Remote(remote) => remote.blob(digest, size, limit).await?,
            Self::Layout(layout) => layout.blob(digest, size.unwrap_or(limit).min(limit))?,
        };
        let got = Digest::of(&bytes);
        if got != *digest {
            return Err(RegistryError::refused(format!(
                "what came for sha256:{digest} is sha256:{got}: it was changed, or cut off"
            )));
        }
        if let Some(size) = size.filter(|it| *it != bytes.len() as u64) {
            let text = format!("sha256:{digest} has {} bytes, and its manifest says {size}", bytes.len());
            return Err(RegistryError::refused(text));
        }
        Ok(bytes)
    }

    pub(super) async fn put_blob(&self, bytes: &[u8]) -> Result<(), RegistryError> {
        match self {
            Self::Remote(remote) => remote.push_blob(bytes).await.map(drop),
            Self::Layout(layout) => layout.put(bytes),
        }
    }

    /// Puts a manifest whose blobs are there under the tag of a reference.
    pub(super) async fn put_manifest(&mut self, reference: &Reference, bytes: &[u8]) -> Result<Pushed, RegistryError> {
        match self {
            Self::Remote(remote) => {
                // A reference by digest alone is put there without a tag.
                let version = if reference.tag.is_some() { reference.tag().to_owned() } else { reference.version() };
                remote.push_manifest(&version, MANIFEST, bytes).await
            }
            Self::Layout(layout) => layout.put_manifest(&name_of(reference), bytes).map(|()| Pushed::New),
        }
    }

    pub(super) fn none(&self, reference: &Reference) -> RegistryError {
        match self {
            Self::Remote(_) => RegistryError::missing(format!("there is no `{reference}`")).hint("check its name and tag"),
            Self::Layout(_) => RegistryError::missing(format!("the bundle does not hold `{reference}`")),
        }
    }
}

/// What a bundle calls it: by its tag, or by its digest where that is all that is known.
fn name_of(reference: &Reference) -> String {
    match (&reference.tag, &reference.digest) {
        (None, Some(_)) => reference.to_string(),
        _ => Reference { digest: None, tag: Some(reference.tag().to_owned()), ..reference.clone() }.to_string(),
    }
}

/// Copies what was found with all its signatures, byte for byte. `to_name` is what it is called there.
///
/// # Errors
///
/// Where a signature cannot be read any more, or something cannot be written.
pub async fn copy(
    from: &Place,
    reference: &Reference,
    found: &Found,
    to: &mut Place,
    to_name: &Reference,
) -> Result<(), RegistryError> {
    let image = &found.image;
    to.put_blob(&found.config).await?;
    to.put_blob(&found.component).await?;
    // The signatures first: who finds the artifact finds them.
    let (theirs, ours) = (signature::place_of(reference, &image.digest)?, signature::place_of(to_name, &image.digest)?);
    if let Some(raw) = from.raw(&theirs).await? {
        for blob in signature::blobs(&raw)? {
            to.put_blob(&from.blob(&blob.digest, Some(blob.size), super::MAX_MANIFEST).await?).await?;
        }
        to.put_manifest(&ours, &raw.bytes).await?;
    }
    to.put_manifest(to_name, &image.bytes).await?;
    Ok(())
}
