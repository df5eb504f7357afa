//! cosign's private keys under a password: scrypt makes the key, NaCl's secretbox holds PKCS #8.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use serde_json::Value as Json;

/// Memory that deriving a key may take: 128 bytes times N times r.
const MAX_MEMORY: u64 = 256 << 20;
const MAX_PARALLEL: u64 = 16;

/// Opens the JSON of such a key.
///
/// # Errors
///
/// In words, without the password and without anything of the key.
pub(super) fn open(sealed: &[u8], password: &[u8]) -> Result<Vec<u8>, String> {
    let wrong = |what: &str| format!("its encrypted form {what}");
    let root: Json = serde_json::from_slice(sealed).map_err(|_| wrong("is not JSON"))?;
    let text = |pointer: &str| root.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let (kdf, cipher) = (text("/kdf/name"), text("/cipher/name"));
    if (kdf, cipher) != ("scrypt", "nacl/secretbox") {
        return Err(wrong("is not scrypt with nacl/secretbox"));
    }
    let number = |pointer: &str| root.pointer(pointer).and_then(Json::as_u64).unwrap_or_default();
    let (n, r, p) = (number("/kdf/params/N"), number("/kdf/params/r"), number("/kdf/params/p"));
    let memory = n.saturating_mul(r).saturating_mul(128);
    if !n.is_power_of_two() || n < 2 || r == 0 || p == 0 || memory > MAX_MEMORY || p > MAX_PARALLEL {
        return Err(wrong("asks for parameters of scrypt that are not taken"));
    }
    let bytes = |pointer: &str| BASE64_STANDARD.decode(text(pointer)).map_err(|_| wrong("holds no base64"));
    let (salt, nonce, inner) = (bytes("/kdf/salt")?, bytes("/cipher/nonce")?, bytes("/ciphertext")?);
    let cost = u8::try_from(n.trailing_zeros()).unwrap_or(u8::MAX);
    let (r, p) = (u32::try_from(r).unwrap_or(u32::MAX), u32::try_from(p).unwrap_or(u32::MAX));
    let parameters = scrypt::Params::new(cost, r, p, 32).map_err(|_| wrong("asks for parameters of scrypt that are none"))?;
    let mut key = [0_u8; 32];
    scrypt::scrypt(password, &salt, &parameters, &mut key).map_err(|_| wrong("cannot be opened"))?;
    if nonce.len() != 24 {
        return Err(wrong("has a nonce of another length"));
    }
    let opened = XSalsa20Poly1305::new(&key.into()).decrypt(Nonce::from_slice(&nonce), inner.as_slice());
    key.fill(0);
    opened.map_err(|_| "the password is wrong, or the file was changed".to_owned())
}
