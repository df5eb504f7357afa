//! Checksums of bodies, where a service wants one.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::{Invalid, Wire};
use crate::model::Operation;

/// The member that chooses the algorithm, in every operation that has one.
const CHOICE: &str = "x-amz-sdk-checksum-algorithm";

/// Adds a checksum where the operation needs one or the input asks for one, and none is there yet.
///
/// # Errors
/// Where the input asks for an algorithm that is not known here.
pub fn add(wire: &mut Wire, operation: &Operation) -> Result<(), Invalid> {
    let chosen = wire.header(CHOICE).map(str::to_owned);
    let there = |name: &str| name.to_ascii_lowercase().starts_with("x-amz-checksum-") || name.eq_ignore_ascii_case("content-md5");
    if wire.headers.iter().any(|(name, _)| there(name)) || (chosen.is_none() && !operation.checksum) {
        return Ok(());
    }
    match chosen.as_deref().unwrap_or("CRC32") {
        "CRC32" => wire.add("x-amz-checksum-crc32", STANDARD.encode(crc32(&wire.body).to_be_bytes())),
        "SHA256" => wire.add("x-amz-checksum-sha256", STANDARD.encode(Sha256::digest(&wire.body))),
        _ => return Err(Invalid::new("is no algorithm that is known here; write CRC32 or SHA256").under("ChecksumAlgorithm")),
    }
    if chosen.is_none() {
        wire.add(CHOICE, "CRC32");
    }
    Ok(())
}

/// CRC-32 of ISO 3309, bit by bit: bodies with a checksum are documents of a few kilobytes.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let low = crc & 1;
            crc = (crc >> 1) ^ (0xEDB8_8320 & low.wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_crc_32_comes_out() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
