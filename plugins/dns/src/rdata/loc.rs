//! LOC: a place on Earth (RFC 1876).

use super::field::print_display;
use crate::lex::Word;
use crate::name::shorten;
use crate::wire::{Malformed, Reader};

/// Thousandths of an arc second in a degree.
const DEGREE: u64 = 3_600_000;
/// What the wire calls the equator and the prime meridian.
const ZERO: u32 = 1 << 31;
/// The wire counts altitudes from 100,000 m below the reference, in centimetres.
const DEPTH: i64 = 10_000_000;
/// Size, horizontal and vertical precision where they are not given, in centimetres.
const DEFAULTS: [u64; 3] = [100, 1_000_000, 1_000];

/// Appends the wire form of `d1 [m1 [s1]] {N|S} d2 [m2 [s2]] {E|W} alt[m] [size[m] [hp[m] [vp[m]]]]`.
///
/// # Errors
/// Says which part is wrong.
pub fn parse(words: &[Word<'_>], out: &mut Vec<u8>) -> Result<(), String> {
    let mut words = words.iter().map(|it| it.text);
    let latitude = angle(&mut words, "latitude", 90, ["N", "S"])?;
    let longitude = angle(&mut words, "longitude", 180, ["E", "W"])?;
    let altitude = words.next().ok_or("the altitude is missing, such as `0m`")?;
    let altitude = metres(altitude).ok_or_else(|| format!("the altitude must be metres, not `{}`", shorten(altitude)))?;
    let altitude = u32::try_from(altitude + DEPTH).map_err(|_| "the altitude must be from -100000m to 42849672.95m")?;
    let mut sizes = DEFAULTS;
    for size in &mut sizes {
        let Some(text) = words.next() else { break };
        let value = metres(text).and_then(|it| u64::try_from(it).ok()).filter(|it| *it <= 9_000_000_000);
        *size = value.ok_or_else(|| format!("sizes and precisions must be from 0m to 90000000m, not `{}`", shorten(text)))?;
    }
    if let Some(more) = words.next() {
        return Err(format!("`{}` is one word too many", shorten(more)));
    }
    out.push(0);
    out.extend(sizes.map(precision));
    for value in [latitude, longitude, altitude] {
        out.extend(value.to_be_bytes());
    }
    Ok(())
}

/// One angle: degrees, minutes and seconds up to its direction.
fn angle<'a>(words: &mut impl Iterator<Item = &'a str>, what: &str, most: u64, directions: [&str; 2]) -> Result<u32, String> {
    let [positive, negative] = directions;
    let mut total = 0;
    for (part, scale) in [("degrees", DEGREE), ("minutes", 60_000), ("seconds", 1_000), ("direction", 0)] {
        let word = words.next().ok_or_else(|| format!("the {what} must end with {positive} or {negative}"))?;
        let north = word.eq_ignore_ascii_case(positive);
        if part != "degrees" && (north || word.eq_ignore_ascii_case(negative)) {
            return if total > most * DEGREE {
                Err(format!("the {what} is above {most} degrees"))
            } else {
                let offset = u32::try_from(total).map_err(|_| format!("the {what} is too large"))?;
                Ok(if north { ZERO + offset } else { ZERO - offset })
            };
        }
        let limit = if part == "degrees" { most } else { 59 };
        let decimals = if part == "seconds" { 3 } else { 0 };
        let value = decimal(word, decimals).filter(|it| scale > 0 && it / 10_u64.pow(decimals) <= limit);
        let value = value.ok_or_else(|| format!("the {what} has wrong {part}: `{}`", shorten(word)))?;
        total += if part == "seconds" { value } else { value * scale };
    }
    Err(format!("the {what} must end with {positive} or {negative}"))
}

/// A number with up to `decimals` decimals, times ten to that power.
fn decimal(text: &str, decimals: u32) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |it: &str| it.bytes().all(|it| it.is_ascii_digit());
    let length = u32::try_from(part.len()).ok()?;
    let open = text.len() > 12 || whole.is_empty() || !digits(whole) || !digits(part) || text.ends_with('.');
    if open || length > decimals {
        return None;
    }
    let whole = whole.parse::<u64>().ok()? * 10_u64.pow(decimals);
    let part = if part.is_empty() { 0 } else { part.parse::<u64>().ok()? };
    Some(whole + part * 10_u64.pow(decimals - length))
}

/// Centimetres of `-12.34m`.
fn metres(text: &str) -> Option<i64> {
    let text = text.strip_suffix(['m', 'M']).unwrap_or(text);
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |it| (-1, it));
    Some(sign * i64::try_from(decimal(text, 2)?).ok()?)
}

/// Mantissa and exponent of centimetres; what one digit cannot hold is cut off, as RFC 1876 does.
fn precision(centimetres: u64) -> u8 {
    let (mut mantissa, mut exponent) = (centimetres, 0);
    while mantissa > 9 {
        mantissa /= 10;
        exponent += 1;
    }
    u8::try_from(mantissa << 4 | exponent).unwrap_or(0)
}

/// Appends the canonical form of the location at the reader.
///
/// # Errors
/// For another version, and for values that no place has.
pub fn read(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let bytes = reader.take(16)?;
    let mut fields = Reader::new(bytes);
    if fields.u8()? != 0 {
        return Err(Malformed("a location is of an unknown version"));
    }
    out.push(0);
    for size in fields.take(3)? {
        if size >> 4 > 9 || size & 15 > 9 {
            return Err(Malformed("a location has a wrong precision"));
        }
        // 0 times any power of ten is the same zero.
        out.push(if size >> 4 == 0 { 0 } else { *size });
    }
    for most in [90, 180] {
        if u64::from(fields.u32()?.abs_diff(ZERO)) > most * DEGREE {
            return Err(Malformed("a location is not on Earth"));
        }
    }
    out.extend_from_slice(bytes.get(4..).unwrap_or_default());
    Ok(())
}

/// Appends the canonical spelling, every part written out.
///
/// # Errors
/// When the location is cut off.
pub fn print(reader: &mut Reader<'_>, out: &mut String) -> Result<(), Malformed> {
    let version = reader.u8()?;
    if version != 0 {
        return Err(Malformed("a location is of an unknown version"));
    }
    let sizes: [u8; 3] = [reader.u8()?, reader.u8()?, reader.u8()?];
    for [positive, negative] in [['N', 'S'], ['E', 'W']] {
        let value = reader.u32()?;
        let offset = u64::from(value.abs_diff(ZERO));
        let direction = if value >= ZERO { positive } else { negative };
        let (degrees, minutes, thousandths) = (offset / DEGREE, offset / 60_000 % 60, offset % 60_000);
        let (seconds, rest) = (thousandths / 1_000, thousandths % 1_000);
        print_display(format_args!("{degrees} {minutes} {seconds}.{rest:03} {direction} "), out);
    }
    let altitude = i64::from(reader.u32()?) - DEPTH;
    if altitude < 0 {
        out.push('-');
    }
    print_metres(altitude.unsigned_abs(), out);
    for size in sizes {
        out.push(' ');
        print_metres(u64::from(size >> 4) * 10_u64.pow(u32::from(size & 15)), out);
    }
    Ok(())
}

fn print_metres(centimetres: u64, out: &mut String) {
    print_display(format_args!("{}.{:02}m", centimetres / 100, centimetres % 100), out);
}
