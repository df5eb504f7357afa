//! Bodies that are packed: opened, so that what is in them can be cut, and packed again; or refused.

use std::io::{self, Read, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::{Map, json};
use trueup_core::value::Json;

/// Bytes of a body once it is unpacked.
const UNPACKED: u64 = 256 << 20;

/// How a request or an answer says that its body is packed, where it has a body.
pub(super) fn encoding(fields: &Map<String, Json>) -> Option<String> {
    let (headers, body) = (fields.get("headers")?.as_array()?, fields.get("body")?);
    let of = |header: &Json| {
        let name = header.get(0).and_then(Json::as_str)?;
        name.eq_ignore_ascii_case("content-encoding").then(|| header.get(1).and_then(Json::as_str)).flatten().map(str::to_owned)
    };
    let all: Vec<String> = headers.iter().filter_map(of).filter(|it| !it.trim().is_empty()).collect();
    let joined = all.join(", ").trim().to_ascii_lowercase();
    (body.is_object() && !joined.is_empty() && joined != "identity").then_some(joined)
}

/// Opens the body, has `cut` look at it, and packs it again where that changed anything.
///
/// # Errors
///
/// Where it cannot be opened: nobody knows then what is in it.
pub(super) fn open(fields: &mut Map<String, Json>, encoding: &str, cut: &dyn Fn(&[u8]) -> Vec<u8>) -> Result<(), String> {
    let shut = || format!("a body is packed as `{encoding}`, and secrets in it cannot be looked for");
    let body = fields.get_mut("body").ok_or_else(shut)?;
    let bytes = match (body.get("$text").and_then(Json::as_str), body.get("$base64").and_then(Json::as_str)) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(packed)) => STANDARD.decode(packed).map_err(|_| shut())?,
        (None, None) => return Err(shut()),
    };
    let (inner, pack): (Vec<u8>, fn(&[u8]) -> Vec<u8>) = match encoding {
        "gzip" | "x-gzip" => (gunzip(&bytes).ok_or_else(shut)?, gzip),
        "deflate" => match inflate(&bytes).ok_or_else(shut)? {
            (inner, true) => (inner, |it| deflate(it, true)),
            (inner, false) => (inner, |it| deflate(it, false)),
        },
        _ => return Err(shut()),
    };
    let clean = cut(&inner);
    if clean != inner {
        *body = json!({ "$base64": STANDARD.encode(pack(&clean)) });
    }
    Ok(())
}

/// What gzip packed; none where it is anything else, or unpacks to too much.
pub(super) fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    bytes.starts_with(&[0x1f, 0x8b]).then(|| all(MultiGzDecoder::new(bytes)))?
}

/// What deflate packed, and whether in a frame of zlib: servers send both under one name.
pub(super) fn inflate(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    all(ZlibDecoder::new(bytes)).map(|it| (it, true)).or_else(|| all(DeflateDecoder::new(bytes)).map(|it| (it, false)))
}

fn all(from: impl Read) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    from.take(UNPACKED + 1).read_to_end(&mut out).ok()?;
    (out.len() as u64 <= UNPACKED).then_some(out)
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    in_memory(encoder.write_all(bytes).and_then(|()| encoder.finish()))
}

pub(super) fn deflate(bytes: &[u8], framed: bool) -> Vec<u8> {
    let level = Compression::default();
    if framed {
        let mut encoder = ZlibEncoder::new(Vec::new(), level);
        return in_memory(encoder.write_all(bytes).and_then(|()| encoder.finish()));
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), level);
    in_memory(encoder.write_all(bytes).and_then(|()| encoder.finish()))
}

/// Writing to memory does not fail; if it did, nothing would be left of the body rather than a secret.
fn in_memory(written: io::Result<Vec<u8>>) -> Vec<u8> {
    written.unwrap_or_default()
}
