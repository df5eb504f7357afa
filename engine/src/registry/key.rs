//! Keys that sign plugins: Ed25519 and ECDSA P-256, in the files that openssl and cosign write.
//!
//! Public keys are the operator's word on whom to trust; they lie in a folder of the user's configuration and are refused where
//! others could change them. A key is known by its fingerprint: the SHA-256 of its public half as DER.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use trueup_core::value::Digest;

use super::{RegistryError, sealed_key};
use crate::{private, regular};

/// Bytes of a key's file.
const MAX_KEY: u64 = 64 << 10;
/// Keys of a folder.
const MAX_KEYS: usize = 1_000;
/// DER before the 32 bytes of an Ed25519 public key, and before those of a private one (PKCS #8, version 1).
const ED25519_PUBLIC: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const ED25519_PRIVATE: &[u8] = &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// DER before the 65 bytes of an uncompressed point on P-256.
const P256_PUBLIC: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The public half of a key.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    Ed25519(Vec<u8>),
    P256(Vec<u8>),
}

impl PublicKey {
    /// From `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    ///
    /// Says what it is instead, as far as that is known.
    pub fn from_pem(text: &str) -> Result<Self, String> {
        let (label, der) = pem(text)?;
        if label != "PUBLIC KEY" {
            return Err(format!("it holds a `{label}`, not a public key"));
        }
        if let Some(key) = der.strip_prefix(ED25519_PUBLIC).filter(|it| it.len() == 32) {
            return Ok(Self::Ed25519(key.to_vec()));
        }
        match der.strip_prefix(P256_PUBLIC).filter(|it| it.len() == 65 && it.first() == Some(&4)) {
            Some(key) => Ok(Self::P256(key.to_vec())),
            None => Err("it is neither an Ed25519 key nor an ECDSA key on P-256".to_owned()),
        }
    }

    fn der(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => [ED25519_PUBLIC, key].concat(),
            Self::P256(key) => [P256_PUBLIC, key].concat(),
        }
    }

    /// `-----BEGIN PUBLIC KEY-----`
    pub fn to_pem(&self) -> String {
        to_pem("PUBLIC KEY", &self.der())
    }

    /// SHA-256 of the key as DER, as `openssl pkey -pubin -outform der | sha256sum` shows it.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der())
    }

    /// Whether the key's owner signed the message.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let done = match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::P256(key) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature),
        };
        done.is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// A key to sign with. Never shown.
pub struct SigningKey(Pair);

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().fingerprint())
    }
}

impl SigningKey {
    /// Reads PKCS #8 as openssl writes it, or cosign's encrypted form, which `password` opens.
    ///
    /// # Errors
    ///
    /// Where others can read the file, it is of another kind, or the password is wrong or missing.
    pub fn read(path: &Path, password: impl FnOnce() -> Option<String>) -> Result<Self, RegistryError> {
        let wrong = |what: String| RegistryError::refused(format!("the key `{}` cannot be used: {what}", path.display()));
        let bytes = private::read(path, MAX_KEY).map_err(|error| wrong(error.to_string()))?;
        let bytes = bytes
            .ok_or_else(|| wrong("there is no such file".to_owned()).hint("`trueup plugin sign --new-key FILE` makes one"))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not PEM".to_owned()))?;
        let (label, der) = pem(&text).map_err(wrong)?;
        let der = match label.as_str() {
            "PRIVATE KEY" => der,
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                let password = password().ok_or_else(|| {
                    wrong("it is encrypted".to_owned()).hint("give its password in the variable COSIGN_PASSWORD")
                })?;
                sealed_key::open(&der, password.as_bytes()).map_err(wrong)?
            }
            "EC PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => {
                let error = wrong(format!("it is a `{label}`"));
                return Err(error.hint("`openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW` writes the form that is read here"));
            }
            other => return Err(wrong(format!("it is a `{other}`, not a private key"))),
        };
        Self::from_pkcs8(&der).map_err(|what| wrong(what.to_owned()))
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, &'static str> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self(Pair::Ed25519(pair)));
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new());
        pair.map(|it| Self(Pair::P256(it))).map_err(|_| "it is neither an Ed25519 key nor an ECDSA key on P-256, as PKCS #8")
    }

    /// Draws an Ed25519 key, and writes it to a new file and its public half beside it (`FILE.pub`).
    ///
    /// # Errors
    ///
    /// Where either file is there already, or cannot be written.
    pub fn create(path: &Path) -> Result<Self, RegistryError> {
        let failed = |path: &Path, error: &dyn fmt::Display| {
            RegistryError::local(format!("the key `{}` cannot be written", path.display()), error)
        };
        let public = public_beside(path);
        if let Some(there) = [path, &public].into_iter().find(|it| it.exists()) {
            return Err(failed(there, &"it is there already, and keys are not overwritten"));
        }
        let mut seed = [0_u8; 32];
        getrandom::fill(&mut seed).map_err(|error| failed(path, &error))?;
        let der = [ED25519_PRIVATE, &seed].concat();
        let key = Self::from_pkcs8(&der).map_err(|what| failed(path, &what))?;
        private::write(path, to_pem("PRIVATE KEY", &der).as_bytes()).map_err(|error| failed(path, &error))?;
        fs::write(&public, key.public().to_pem()).map_err(|error| failed(&public, &error))?;
        Ok(key)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        match &self.0 {
            Pair::Ed25519(pair) => PublicKey::Ed25519(pair.public_key().as_ref().to_vec()),
            Pair::P256(pair) => PublicKey::P256(pair.public_key().as_ref().to_vec()),
        }
    }

    /// Signs a message: as it is with Ed25519, its SHA-256 with ECDSA (ASN.1), as cosign does.
    ///
    /// # Errors
    ///
    /// Where the system gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, RegistryError> {
        match &self.0 {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => {
                let signed = pair.sign(&SystemRandom::new(), message);
                signed.map(|it| it.as_ref().to_vec()).map_err(|_| RegistryError::local("the key cannot sign", "no randomness"))
            }
        }
    }
}

/// `FILE.pub`
pub(crate) fn public_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".pub");
    path.with_file_name(name)
}

/// Keys that the operator trusts, by the names of their files.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: Vec<(String, PublicKey)>,
}

impl Keyring {
    /// Every `*.pub` of the folder; one that is not there holds none.
    ///
    /// # Errors
    ///
    /// Where a key is none, or others could have put it there: it is not left out silently.
    pub fn open(folder: &Path) -> Result<Self, RegistryError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(RegistryError::local(format!("the keys in `{}` cannot be read", folder.display()), error)),
        };
        let mut files: Vec<PathBuf> = entries.filter_map(|it| Some(it.ok()?.path())).collect();
        files.retain(|it| it.extension().is_some_and(|it| it == "pub"));
        files.sort_unstable();
        if files.len() > MAX_KEYS {
            return Err(RegistryError::refused(format!("`{}` holds more than {MAX_KEYS} keys", folder.display())));
        }
        if !files.is_empty() {
            ours(folder)?;
        }
        Self::of_files(&files)
    }

    /// Keys of these files alone.
    ///
    /// # Errors
    ///
    /// As [`Keyring::open`].
    pub fn of_files(files: &[PathBuf]) -> Result<Self, RegistryError> {
        let read = |path: &PathBuf| {
            ours(path)?;
            let wrong = |what: String| RegistryError::refused(format!("the key `{}` cannot be used: {what}", path.display()));
            let bytes = regular::read(path, MAX_KEY).map_err(|error| wrong(error.to_string()))?;
            let text = String::from_utf8(bytes).map_err(|_| wrong("it is not PEM".to_owned()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, PublicKey::from_pem(&text).map_err(wrong)?))
        };
        Ok(Self { keys: files.iter().map(read).collect::<Result<_, RegistryError>>()? })
    }

    /// One key, of one's own.
    pub fn of_key(name: &str, key: PublicKey) -> Self {
        Self { keys: vec![(name.to_owned(), key)] }
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn keys(&self) -> &[(String, PublicKey)] {
        &self.keys
    }

    /// The key of that fingerprint alone, where it is trusted.
    pub fn only(&self, fingerprint: &Digest) -> Option<Self> {
        let found = self.keys.iter().find(|it| it.1.fingerprint() == *fingerprint)?;
        Some(Self { keys: vec![found.clone()] })
    }

    /// Names, for people.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.keys.iter().take(8).map(|it| format!("`{}`", it.0)).collect();
        let more = if self.keys.len() > names.len() { " and more" } else { "" };
        format!("{}{more}", names.join(", "))
    }
}

/// Refuses what another user, or anybody, could have written.
fn ours(path: &Path) -> Result<(), RegistryError> {
    let wrong = |what: &str| RegistryError::refused(format!("`{}` decides whom you trust, and {what}", path.display()));
    let meta = fs::metadata(path).map_err(|error| RegistryError::local(format!("`{}` cannot be read", path.display()), error))?;
    let user = rustix::process::geteuid().as_raw();
    if meta.uid() != user && meta.uid() != 0 {
        return Err(wrong("it belongs to another user"));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(wrong("others can change it").hint("take that from them: `chmod go-w`"));
    }
    Ok(())
}

/// Label and content of the first block.
fn pem(text: &str) -> Result<(String, Vec<u8>), String> {
    let none = || "it is not PEM".to_owned();
    let (_, rest) = text.split_once("-----BEGIN ").ok_or_else(none)?;
    let (label, rest) = rest.split_once("-----").ok_or_else(none)?;
    let (inner, _) = rest.split_once(&format!("-----END {label}-----")).ok_or_else(none)?;
    let inner: String = inner.chars().filter(|it| !it.is_ascii_whitespace()).collect();
    let label = label.chars().take(60).flat_map(char::escape_debug).collect();
    Ok((label, BASE64_STANDARD.decode(inner).map_err(|_| none())?))
}

fn to_pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            out.push('\n');
        }
        out.push(letter);
    }
    out.push_str(&format!("\n-----END {label}-----\n"));
    out
}
