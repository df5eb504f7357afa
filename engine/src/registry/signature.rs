//! Signatures of artifacts, stored and made as cosign does: beside the artifact, under the tag `sha256-<hex>.sig`, one layer
//! for each signature, whose payload names the digest that is signed and the repository that it was signed for.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value as Json;
use trueup_core::value::{Digest, json};

use super::image::{self, Descriptor, MANIFEST, Raw};
use super::key::{Keyring, SigningKey};
use super::place::Place;
use super::reference::Reference;
use super::remote::Pushed;
use super::{MAX_MANIFEST, RegistryError};
use crate::regular;

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Where the signature of a payload stands.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Fingerprint of the key: a hint for messages, believed in nothing.
const KEY: &str = "trueup.dev/key";
const TYPE: &str = "cosign container image signature";
/// Signatures of one artifact that are judged: whoever may push to a repository may add some.
const MAX_SIGNATURES: usize = 32;
const MAX_PAYLOAD: u64 = 64 << 10;

/// Whose signature an artifact must have.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub keys: Keyring,
    /// What no trusted key signed is taken too.
    pub allow_unsigned: bool,
    /// The repository (`host/name`) that it was signed for, where that is another than the one it is taken from: a mirror.
    pub signed_for: Option<String>,
    /// It is named by a digest of ours: what repository it was signed for no longer matters.
    pub pinned: bool,
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Name of the key's file.
    pub name: String,
    pub fingerprint: Digest,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.fingerprint.to_string();
        write!(f, "{} (key {})", self.name, hex.get(..16).unwrap_or(&hex))
    }
}

/// Where the signatures of an artifact are.
pub(super) fn place_of(reference: &Reference, digest: &Digest) -> Result<Reference, RegistryError> {
    reference.tagged(&format!("sha256-{digest}.sig"))
}

/// Every blob that a manifest of signatures names.
pub(super) fn blobs(raw: &Raw) -> Result<Vec<Descriptor>, RegistryError> {
    let root = image::manifest(raw)?;
    let mut out = layers(&root)?;
    out.push(Descriptor::read(root.get("config").unwrap_or(&Json::Null), "configuration")?);
    Ok(out)
}

fn layers(root: &Json) -> Result<Vec<Descriptor>, RegistryError> {
    let layers = root.get("layers").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    if layers.len() > MAX_SIGNATURES {
        return Err(RegistryError::refused(format!("the artifact has more than {MAX_SIGNATURES} signatures")));
    }
    layers.iter().map(|it| Descriptor::read(it, "signature")).collect()
}

/// Holds an artifact against a policy. None where it has no signature of a trusted key, and none is needed.
///
/// # Errors
///
/// Says whether there is no signature, none of a trusted key, or one that is broken or for something else.
pub(super) async fn judge(
    place: &Place,
    reference: &Reference,
    digest: &Digest,
    policy: &Policy,
) -> Result<Option<Signed>, RegistryError> {
    if policy.allow_unsigned && policy.keys.is_empty() {
        return Ok(None);
    }
    match verify(place, reference, digest, policy).await {
        Ok(signed) => Ok(Some(signed)),
        Err(error) if policy.allow_unsigned && error.trouble == super::Trouble::Unsigned => Ok(None),
        Err(error) => Err(error),
    }
}

/// Finds a signature of a trusted key over a digest.
///
/// # Errors
///
/// As [`judge`].
pub async fn verify(place: &Place, reference: &Reference, digest: &Digest, policy: &Policy) -> Result<Signed, RegistryError> {
    let raw = place.raw(&place_of(reference, digest)?).await?;
    let none = || RegistryError::unsigned(format!("`{reference}` is not signed")).hint(HOW);
    let root = image::manifest(&raw.ok_or_else(none)?)?;
    let layers: Vec<Descriptor> = layers(&root)?.into_iter().filter(|it| it.media_type == PAYLOAD).collect();
    if layers.is_empty() {
        return Err(none());
    }
    if policy.keys.is_empty() {
        let text = format!("`{reference}` is signed, and you trust no key yet");
        return Err(RegistryError::unsigned(text).hint(HOW));
    }
    let want = policy.signed_for.clone().unwrap_or_else(|| reference.repository());
    let mut faults = Vec::new();
    for layer in &layers {
        let payload = place.blob(&layer.digest, Some(layer.size), MAX_PAYLOAD).await?;
        let annotation = |key: &str| layer.annotations.get(key).and_then(Json::as_str).unwrap_or_default();
        let claimed = Digest::parse(annotation(KEY));
        let Ok(signature) = BASE64_STANDARD.decode(annotation(SIGNATURE)) else {
            faults.push("one is no base64".to_owned());
            continue;
        };
        let signer = policy.keys.keys().iter().find(|(_, key)| key.verifies(&payload, &signature));
        let Some((name, key)) = signer else {
            faults.push(match claimed.map(|it| (it, policy.keys.only(&it))) {
                Some((_, Some(key))) => format!("one claims to be of the trusted key {} and is broken", key.names()),
                Some((claimed, None)) => format!("one is of the key {claimed}, which is not trusted"),
                None => "one is broken, or of a key that is not trusted".to_owned(),
            });
            continue;
        };
        match payload_fault(&payload, digest, (!policy.pinned).then_some(want.as_str())) {
            None => return Ok(Signed { name: name.clone(), fingerprint: key.fingerprint() }),
            Some(fault) => faults.push(format!("the one of the trusted key `{name}` {fault}")),
        }
    }
    let text =
        format!("no signature of `{reference}` is good under the trusted keys ({}): {}", policy.keys.names(), faults.join("; "));
    Err(RegistryError::unsigned(text).hint(HOW))
}

/// What to do where no trusted key signed.
const HOW: &str = "put the author's public key, which you have from a place that you trust, into `plugin-keys/NAME.pub` in your \
                   configuration folder, or give it with --key; --allow-unsigned takes what is there, and its digest is all that \
                   holds it from then on";

/// What is wrong with a payload that is properly signed. `want` is the repository.
fn payload_fault(payload: &[u8], digest: &Digest, want: Option<&str>) -> Option<String> {
    let root: Json = serde_json::from_slice(payload).unwrap_or_default();
    let text = |pointer: &str| root.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    if text("/critical/type") != TYPE {
        return Some("signs something of another type".to_owned());
    }
    let signed = text("/critical/image/docker-manifest-digest");
    if signed != format!("sha256:{digest}") {
        return Some(format!("is for another artifact, `{}`", super::shown(signed)));
    }
    let named = text("/critical/identity/docker-reference");
    // A tag or digest behind the name is no part of the repository; a port is.
    let name = named.split('@').next().unwrap_or_default();
    let name = name.rsplit_once(':').filter(|it| !it.1.contains('/')).map_or(name, |it| it.0);
    match want {
        Some(want) if want != name && want != named => Some(format!(
            "is for the repository `{}`, and not `{want}` (--signed-for names another, for a mirror)",
            super::shown(named)
        )),
        _ => None,
    }
}

/// Signs an artifact, beside the signatures that it has. One that the key made already is left as it is.
///
/// # Errors
///
/// Where the registry cannot be reached or refuses, the key cannot sign, or no room is left for one more.
pub async fn sign(place: &mut Place, reference: &Reference, digest: &Digest, key: &SigningKey) -> Result<Pushed, RegistryError> {
    let own = Policy { keys: Keyring::of_key("own", key.public()), ..Policy::default() };
    if verify(place, reference, digest, &own).await.is_ok() {
        return Ok(Pushed::Known);
    }
    let tag = place_of(reference, digest)?;
    let mut layers = match place.raw(&tag).await? {
        Some(raw) => image::manifest(&raw)?.get("layers").and_then(Json::as_array).cloned().unwrap_or_default(),
        None => Vec::new(),
    };
    if layers.len() >= MAX_SIGNATURES {
        let text = format!(
            "`{reference}` has {} signatures already, and one that has more than {MAX_SIGNATURES} is judged by nobody",
            layers.len()
        );
        let hint = format!("whoever may push there may add some: delete the tag `{}` in the registry, and sign again", tag.tag());
        return Err(RegistryError::refused(text).hint(hint));
    }
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": reference.repository()},
            "image": {"docker-manifest-digest": format!("sha256:{digest}")},
            "type": TYPE,
        },
        "optional": null,
    });
    let payload = payload.to_string().into_bytes();
    let signature = BASE64_STANDARD.encode(key.sign(&payload)?);
    layers.push(json!({
        "mediaType": PAYLOAD,
        "digest": format!("sha256:{}", Digest::of(&payload)),
        "size": payload.len(),
        "annotations": {SIGNATURE: signature, KEY: key.public().fingerprint().to_string()},
    }));
    let digests: Vec<&Json> = layers.iter().filter_map(|it| it.get("digest")).collect();
    let config = json!({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": digests}});
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": format!("sha256:{}", Digest::of(&config)), "size": config.len()},
        "layers": layers,
    });
    place.put_blob(&payload).await?;
    place.put_blob(&config).await?;
    place.put_manifest(&tag, manifest.to_string().as_bytes()).await
}

/// `FILE.sig`
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".sig");
    path.with_file_name(name)
}

/// Signs a file: base64 in `FILE.sig`, as `cosign sign-blob` writes it.
///
/// # Errors
///
/// Where the key cannot sign, or the signature cannot be written.
pub fn sign_file(path: &Path, bytes: &[u8], key: &SigningKey) -> Result<PathBuf, RegistryError> {
    let out = beside(path);
    let text = format!("{}\n", BASE64_STANDARD.encode(key.sign(bytes)?));
    fs::write(&out, text).map_err(|error| RegistryError::local(format!("`{}` cannot be written", out.display()), error))?;
    Ok(out)
}

/// Who of the trusted signed a file, by the signature beside it.
///
/// # Errors
///
/// Where there is none, or none of a trusted key.
pub fn verify_file(path: &Path, bytes: &[u8], keys: &Keyring) -> Result<Signed, RegistryError> {
    let beside = beside(path);
    let text = match regular::read(&beside, MAX_MANIFEST) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("`{}` is not signed: there is no `{}`", path.display(), beside.display());
            return Err(RegistryError::unsigned(text).hint(HOW));
        }
        Err(error) => return Err(RegistryError::local(format!("`{}` cannot be read", beside.display()), error)),
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let broken = |what: &str| RegistryError::unsigned(format!("the signature `{}` {what}", beside.display())).hint(HOW);
    let signature = BASE64_STANDARD.decode(text.trim()).map_err(|_| broken("is no base64"))?;
    if keys.is_empty() {
        return Err(RegistryError::unsigned(format!("`{}` is signed, and you trust no key yet", path.display())).hint(HOW));
    }
    let signer = keys.keys().iter().find(|(_, key)| key.verifies(bytes, &signature));
    match signer {
        Some((name, key)) => Ok(Signed { name: name.clone(), fingerprint: key.fingerprint() }),
        None => Err(broken(&format!("is broken, or of none of the trusted keys ({})", keys.names()))),
    }
}
