//! Signatures with a shared key (RFC 8945): what is put behind a query, and what every answer is judged by.
//!
//! Only SHA-2 algorithms are spoken, and only with their whole length: a server that cuts its signatures short, as the
//! RFC lets one that was told to, is refused by name. Signatures are compared in constant time by the crate `hmac`.
//!
//! Invariant: no text here holds a key or a signature.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, Mac as _};
use sha2::{Sha256, Sha384, Sha512};

use super::wire::{self, CLASS_ANY, Message, Section, kind, put_u16, rcode_word, u16_at, u32_at};
use crate::services::Secret;

/// Seconds by which the clocks of both ends may differ, as every server's default has it.
const FUDGE: u16 = 300;
/// Messages in a row of a transfer that a server may leave unsigned (RFC 8945 §5.3.1).
const MAX_UNSIGNED: u32 = 99;
/// Octets of a time.
const TIME: usize = 6;

const BADSIG: u16 = 16;
const BADKEY: u16 = 17;
const BADTIME: u16 = 18;
const BADTRUNC: u16 = 22;

/// How messages are signed. MD5 and SHA-1 are none of them: a server that offers nothing else is older than its zones are
/// worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TsigAlgorithm {
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

impl TsigAlgorithm {
    /// Reads `hmac-sha256`, in any case and with a final dot or without.
    ///
    /// # Errors
    ///
    /// Names the algorithms there are.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match &*text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase() {
            "hmac-sha256" => Ok(Self::HmacSha256),
            "hmac-sha384" => Ok(Self::HmacSha384),
            "hmac-sha512" => Ok(Self::HmacSha512),
            "hmac-md5" | "hmac-md5.sig-alg.reg.int" | "hmac-sha1" => {
                Err("is too weak; make a key for `hmac-sha256`, `hmac-sha384` or `hmac-sha512`")
            }
            _ => Err("must be `hmac-sha256`, `hmac-sha384` or `hmac-sha512`"),
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::HmacSha256 => b"\x0bhmac-sha256\0",
            Self::HmacSha384 => b"\x0bhmac-sha384\0",
            Self::HmacSha512 => b"\x0bhmac-sha512\0",
        }
    }

    /// Bytes of a signature.
    fn len(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }
}

/// A key that this machine and a server share. Of the secret only the state of the keyed hash is kept.
pub struct TsigKey {
    /// In lower case and without compression, as it is signed.
    name: Vec<u8>,
    algorithm: TsigAlgorithm,
    keyed: Keyed,
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TsigKey({} {:?} (secret))", wire::shown(&self.name), self.algorithm)
    }
}

/// A keyed hash under way.
#[derive(Clone)]
enum Keyed {
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl Keyed {
    fn new(algorithm: TsigAlgorithm, key: &[u8]) -> Option<Self> {
        match algorithm {
            TsigAlgorithm::HmacSha256 => Hmac::new_from_slice(key).ok().map(Self::Sha256),
            TsigAlgorithm::HmacSha384 => Hmac::new_from_slice(key).ok().map(Self::Sha384),
            TsigAlgorithm::HmacSha512 => Hmac::new_from_slice(key).ok().map(Self::Sha512),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(it) => it.update(bytes),
            Self::Sha384(it) => it.update(bytes),
            Self::Sha512(it) => it.update(bytes),
        }
    }

    /// A signature with its length before it, as the next message's covers it.
    fn add_signature(&mut self, signature: &[u8]) {
        self.add(&u16::try_from(signature.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.add(signature);
    }

    fn signature(self) -> Vec<u8> {
        match self {
            Self::Sha256(it) => it.finalize().into_bytes().to_vec(),
            Self::Sha384(it) => it.finalize().into_bytes().to_vec(),
            Self::Sha512(it) => it.finalize().into_bytes().to_vec(),
        }
    }

    /// Compared in constant time; a part of a signature is none.
    fn agrees(self, signature: &[u8]) -> bool {
        match self {
            Self::Sha256(it) => it.verify_slice(signature).is_ok(),
            Self::Sha384(it) => it.verify_slice(signature).is_ok(),
            Self::Sha512(it) => it.verify_slice(signature).is_ok(),
        }
    }
}

impl TsigKey {
    /// A key by its name, as servers configure it (`trueup.`), and its secret in base64, as `tsig-keygen` prints it.
    ///
    /// # Errors
    ///
    /// Says which part is wrong, and never repeats the secret.
    pub fn new(name: &str, algorithm: TsigAlgorithm, secret: &Secret) -> Result<Self, &'static str> {
        let name = key_name(name).ok_or("the `name` of the key must be a domain name of letters, digits, `-`, `_` and `.`")?;
        let mut key = BASE64_STANDARD.decode(secret.expose().trim()).map_err(|_| "the `secret` of the key is no base64")?;
        if key.is_empty() {
            return Err("the `secret` of the key is empty");
        }
        let keyed = Keyed::new(algorithm, &key);
        key.fill(0);
        std::hint::black_box(&key);
        Ok(Self { name, algorithm, keyed: keyed.ok_or("the `secret` of the key cannot be used")? })
    }

    /// Puts a signature behind a message of this machine, at `now` seconds since 1970; answers it for [`Verifier::new`].
    pub(super) fn sign(&self, message: &mut Vec<u8>, now: u64) -> Vec<u8> {
        let id = u16_at(message, 0).unwrap_or_default();
        let mut record = Signed { time: now, fudge: FUDGE, signature: Vec::new(), id, error: 0, other: Vec::new() };
        let mut keyed = self.keyed.clone();
        keyed.add(message);
        keyed.add(&self.variables(&record));
        record.signature = keyed.signature();
        self.append(message, &record);
        record.signature
    }

    /// The record's fields that the first message's signature covers.
    fn variables(&self, record: &Signed) -> Vec<u8> {
        let mut out = self.name.clone();
        out.extend(CLASS_ANY.to_be_bytes());
        out.extend(0_u32.to_be_bytes());
        out.extend(self.algorithm.name());
        out.extend(record.timers());
        out.extend(record.error.to_be_bytes());
        out.extend(u16::try_from(record.other.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(&record.other);
        out
    }

    /// Puts the record behind a message and counts it.
    pub(super) fn append(&self, message: &mut Vec<u8>, record: &Signed) {
        let short = |it: usize| u16::try_from(it).unwrap_or(u16::MAX).to_be_bytes();
        let mut data = self.algorithm.name().to_vec();
        data.extend(record.timers());
        data.extend(short(record.signature.len()));
        data.extend(&record.signature);
        data.extend(record.id.to_be_bytes());
        data.extend(record.error.to_be_bytes());
        data.extend(short(record.other.len()));
        data.extend(&record.other);
        message.extend(&self.name);
        message.extend(kind::TSIG.to_be_bytes());
        message.extend(CLASS_ANY.to_be_bytes());
        message.extend(0_u32.to_be_bytes());
        message.extend(short(data.len()));
        message.extend(data);
        let count = u16_at(message, 10).unwrap_or_default();
        put_u16(message, 10, count.saturating_add(1));
    }
}

/// A name in presentation form, without escapes.
fn key_name(text: &str) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    for label in text.strip_suffix('.').unwrap_or(text).split('.') {
        let plain = label.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_');
        let len = u8::try_from(label.len()).ok().filter(|it| (1..=63).contains(it) && plain)?;
        name.push(len);
        name.extend(label.bytes().map(|it| it.to_ascii_lowercase()));
    }
    name.push(0);
    (name.len() <= 255).then_some(name)
}

/// The contents of a TSIG record.
#[derive(Clone)]
pub(super) struct Signed {
    /// Seconds since 1970, in 48 bits.
    pub(super) time: u64,
    pub(super) fudge: u16,
    pub(super) signature: Vec<u8>,
    /// The id that the message was signed with.
    pub(super) id: u16,
    pub(super) error: u16,
    pub(super) other: Vec<u8>,
}

impl Signed {
    fn timers(&self) -> Vec<u8> {
        let mut out: Vec<u8> = self.time.to_be_bytes().into_iter().skip(8 - TIME).collect();
        out.extend(self.fudge.to_be_bytes());
        out
    }

    /// Reads a record's data: the algorithm's name and the rest.
    fn read(bytes: &[u8], start: usize, end: usize) -> Option<(Vec<u8>, Self)> {
        let bytes = bytes.get(..end)?;
        let (algorithm, at) = wire::name(bytes, start).ok()?;
        let time = time_of(bytes.get(at..at + TIME)?)?;
        let fudge = u16_at(bytes, at + TIME)?;
        let at = at + TIME + 2;
        let behind = at + 2 + usize::from(u16_at(bytes, at)?);
        let signature = bytes.get(at + 2..behind)?.to_vec();
        let (id, error) = (u16_at(bytes, behind)?, u16_at(bytes, behind + 2)?);
        let other = bytes.get(behind + 6..)?.to_vec();
        let whole = usize::from(u16_at(bytes, behind + 4)?) == other.len();
        whole.then_some((algorithm, Self { time, fudge, signature, id, error, other }))
    }
}

fn time_of(bytes: &[u8]) -> Option<u64> {
    (bytes.len() == TIME).then(|| bytes.iter().fold(0, |time, byte| time << 8 | u64::from(*byte)))
}

/// Why an answer is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The first or the last message, or too many in a row, carry no signature.
    Unsigned {
        rcode: u16,
    },
    TooManyUnsigned,
    /// A record of this kind stands where none may, or cannot be read.
    Malformed,
    /// Signed, and nobody asked for it.
    Unasked,
    OtherKey {
        name: Vec<u8>,
    },
    OtherAlgorithm,
    Length {
        got: usize,
        want: usize,
    },
    Signature,
    /// Authentic, and made at another time than now.
    Late {
        server: u64,
        ours: u64,
    },
    /// What the server says of our signature; `server` is its clock, where it tells it.
    Refused {
        error: u16,
        server: Option<u64>,
        ours: u64,
    },
}

impl Fault {
    /// Whether the server refused the key, rather than being disbelieved itself.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { error: BADSIG | BADKEY | BADTIME | BADTRUNC, .. })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned { rcode } => write!(f, "the answer ({}) is not signed", rcode_word(*rcode)),
            Self::TooManyUnsigned => write!(f, "more than {MAX_UNSIGNED} messages in a row are not signed"),
            Self::Malformed => f.write_str("its signature is not in the form of one"),
            Self::Unasked => f.write_str("it is signed though the query was not"),
            Self::OtherKey { name } => write!(f, "it is signed with another key, `{}`", wire::shown(name)),
            Self::OtherAlgorithm => f.write_str("it is signed with another algorithm than the key's"),
            Self::Length { got, want } => write!(f, "its signature has {got} bytes and must have {want}"),
            Self::Signature => f.write_str("its signature is wrong"),
            Self::Late { server, ours } => {
                write!(f, "it was signed at another time than now: {}", clocks(*server, *ours))
            }
            Self::Refused { error: BADTIME, server: Some(server), ours } => {
                write!(f, "the server refuses the time of the signature (BADTIME): {}", clocks(*server, *ours))
            }
            Self::Refused { error: BADTIME, .. } => f.write_str("the server refuses the time of the signature (BADTIME)"),
            Self::Refused { error: BADKEY, .. } => {
                f.write_str("the server does not know the key, or knows it for other algorithms (BADKEY)")
            }
            Self::Refused { error: BADSIG, .. } => f.write_str("the server holds another secret under the key's name (BADSIG)"),
            Self::Refused { error, .. } => write!(f, "the server refuses the signature ({})", rcode_word(*error)),
        }
    }
}

/// Both clocks, and how far apart they are.
fn clocks(server: u64, ours: u64) -> String {
    let clock = |it: u64| format!("{:02}:{:02}:{:02}", it / 3600 % 24, it / 60 % 60, it % 60);
    let word = if ours <= server { "ahead of" } else { "behind" };
    let apart = server.abs_diff(ours);
    format!("the server's clock says {} UTC, {apart} s {word} ours, {} UTC", clock(server), clock(ours))
}

/// Verifies the answers to one signed query, each signature covering the one before.
pub(super) struct Verifier<'a> {
    key: &'a TsigKey,
    /// What the next signature covers: the last signature, and every message since.
    running: Keyed,
    first: bool,
    unsigned: u32,
    rcode: u16,
}

impl<'a> Verifier<'a> {
    /// `request` is the signature of the query.
    pub(super) fn new(key: &'a TsigKey, request: &[u8]) -> Self {
        let mut running = key.keyed.clone();
        running.add_signature(request);
        Self { key, running, first: true, unsigned: 0, rcode: 0 }
    }

    /// Takes the next message, at `now` seconds since 1970. `bytes` is read as `message`; a signature is cut off.
    ///
    /// # Errors
    ///
    /// Nothing of the answer is to be believed then, nor of those before it that carried no signature.
    pub(super) fn take(&mut self, bytes: &mut Vec<u8>, message: &Message, now: u64) -> Result<(), Fault> {
        self.rcode = message.rcode;
        let Some((start, owner, algorithm, record)) = signature_of(bytes, message)? else {
            return self.unsigned(bytes);
        };
        if record.signature.is_empty() && record.error != 0 {
            // Not signed, so nobody knows who says it: good for words, never for belief.
            return Err(Fault::Refused { error: record.error, server: None, ours: now });
        }
        if owner != self.key.name {
            return Err(Fault::OtherKey { name: owner });
        }
        if algorithm != self.key.algorithm.name() {
            return Err(Fault::OtherAlgorithm);
        }
        let plain = bytes.get(..start).ok_or(Fault::Malformed)?.to_vec();
        self.verify(&plain, &record)?;
        if record.error != 0 {
            let server = time_of(&record.other).filter(|_| record.error == BADTIME);
            return Err(Fault::Refused { error: record.error, server, ours: now });
        }
        if record.time.abs_diff(now) > u64::from(record.fudge) {
            return Err(Fault::Late { server: record.time, ours: now });
        }
        *bytes = without(plain);
        (self.first, self.unsigned) = (false, 0);
        Ok(())
    }

    /// The signature itself; what is signed next covers it.
    fn verify(&mut self, plain: &[u8], record: &Signed) -> Result<(), Fault> {
        let mut signed = without(plain.to_vec());
        put_u16(&mut signed, 0, record.id);
        let mut keyed = self.running.clone();
        keyed.add(&signed);
        keyed.add(&if self.first { self.key.variables(record) } else { record.timers() });
        let want = self.key.algorithm.len();
        if record.signature.len() != want {
            return Err(Fault::Length { got: record.signature.len(), want });
        }
        if !keyed.agrees(&record.signature) {
            return Err(Fault::Signature);
        }
        self.running = self.key.keyed.clone();
        self.running.add_signature(&record.signature);
        Ok(())
    }

    fn unsigned(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.first {
            return Err(Fault::Unsigned { rcode: self.rcode });
        }
        self.unsigned += 1;
        if self.unsigned > MAX_UNSIGNED {
            return Err(Fault::TooManyUnsigned);
        }
        self.running.add(bytes);
        Ok(())
    }

    /// After the last message: that one must have been signed.
    ///
    /// # Errors
    ///
    /// Nothing that came since the last signature is to be believed.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        if self.unsigned > 0 { Err(Fault::Unsigned { rcode: self.rcode }) } else { Ok(()) }
    }
}

/// The message before its signature, which is no longer counted.
fn without(mut plain: Vec<u8>) -> Vec<u8> {
    let count = u16_at(&plain, 10).unwrap_or_default();
    put_u16(&mut plain, 10, count.saturating_sub(1));
    plain
}

type Found = (usize, Vec<u8>, Vec<u8>, Signed);

/// Where a message's signature begins, the key's name, the algorithm and the rest. None where it has none.
fn signature_of(bytes: &[u8], message: &Message) -> Result<Option<Found>, Fault> {
    let mut them = message.records.iter().filter(|it| it.kind == kind::TSIG);
    let Some(record) = them.next() else { return Ok(None) };
    let last = message.records.last().is_some_and(|it| it.start == record.start);
    // Six bytes before the data: the time to live, which nobody signs and which is always nothing.
    let lives = record.data.start.checked_sub(6).and_then(|at| u32_at(bytes, at));
    if !last || record.section != Section::Additional || record.class != CLASS_ANY || lives != Some(0) {
        return Err(Fault::Malformed);
    }
    let (owner, _) = wire::name(bytes, record.start).map_err(|_| Fault::Malformed)?;
    let (algorithm, signed) = Signed::read(bytes, record.data.start, record.data.end).ok_or(Fault::Malformed)?;
    Ok(Some((record.start, owner, algorithm, signed)))
}

/// A message that was not to be signed.
///
/// # Errors
///
/// Where it is: a server signs only what was signed.
pub(super) fn unsigned(message: &Message) -> Result<(), Fault> {
    if message.records.iter().any(|it| it.kind == kind::TSIG) { Err(Fault::Unasked) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
