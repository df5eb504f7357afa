//! Quantities (`500m`, `1Gi`, `1e3`) in the one spelling that the API server gives back.
//!
//! Exact: a quantity is a whole number of billionths, and what does not fit into 128 bits of these is left as it is written.

/// Powers of 1024.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// Powers of 1000, from the billionth up.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// Billionths in one.
const ONE: i128 = 1_000_000_000;
/// Digits of a number that is looked at; longer ones are left as they are written.
const MAX_DIGITS: usize = 38;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Binary,
    Decimal,
    /// `1e3`; the letter is kept out: the server writes a small one.
    Exponent,
}

/// The spelling that the API server would answer, for a text that is a quantity; else nothing.
pub fn canonical(text: &str) -> Option<String> {
    let (amount, format) = parse(text.trim())?;
    Some(match format {
        Format::Binary if amount % ONE == 0 && amount.abs() >= 1024 * ONE => binary(amount / ONE),
        // Small and broken amounts are written in decimals, whatever they were declared in.
        Format::Binary | Format::Decimal => decimal(amount),
        Format::Exponent => exponent(amount),
    })
}

fn parse(text: &str) -> Option<(i128, Format)> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = whole.len() + fraction.len();
    if digits == 0 || digits > MAX_DIGITS || fraction.contains('.') {
        return None;
    }
    let (format, factor, power) = scale(suffix)?;
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    // In billionths: mantissa × factor × 10^(power + 9 - digits of the fraction).
    let shift = power.checked_add(9)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let scaled = mantissa.checked_mul(factor)?;
    let amount = match u32::try_from(shift) {
        Ok(up) => scaled.checked_mul(10_i128.checked_pow(up)?)?,
        // What is finer than a billionth is rounded up, as the server does.
        Err(_) => match 10_i128.checked_pow(shift.unsigned_abs()) {
            Some(divisor) => scaled / divisor + i128::from(scaled % divisor != 0),
            None => i128::from(scaled != 0),
        },
    };
    Some((if negative { -amount } else { amount }, format))
}

/// Format, factor and power of ten of a suffix.
fn scale(suffix: &str) -> Option<(Format, i128, i32)> {
    if let Some(at) = BINARY.iter().position(|it| *it == suffix) {
        return Some((Format::Binary, 1_i128 << (10 * (at + 1)), 0));
    }
    if let Some(at) = DECIMAL.iter().position(|it| *it == suffix) {
        return Some((Format::Decimal, 1, i32::try_from(at).ok()?.checked_mul(3)?.checked_sub(9)?));
    }
    let power = suffix.strip_prefix(['e', 'E'])?;
    let digits = power.strip_prefix(['+', '-']).unwrap_or(power);
    let fits = !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|it| it.is_ascii_digit());
    if fits { Some((Format::Exponent, 1, power.parse().ok()?)) } else { None }
}

fn binary(mut amount: i128) -> String {
    let mut power = 0;
    while amount % 1024 == 0 && power < BINARY.len() {
        amount /= 1024;
        power += 1;
    }
    let suffix = power.checked_sub(1).and_then(|it| BINARY.get(it)).copied().unwrap_or_default();
    format!("{amount}{suffix}")
}

/// The amount with as many factors of 1000 taken out as go, and their number less three.
fn thousands(mut amount: i128, most: usize) -> (i128, usize) {
    let mut power = 0;
    while amount != 0 && amount % 1000 == 0 && power < most {
        amount /= 1000;
        power += 1;
    }
    (amount, power)
}

fn decimal(amount: i128) -> String {
    if amount == 0 {
        return "0".to_owned();
    }
    let (amount, power) = thousands(amount, DECIMAL.len() - 1);
    format!("{amount}{}", DECIMAL.get(power).copied().unwrap_or_default())
}

fn exponent(amount: i128) -> String {
    if amount == 0 {
        return "0".to_owned();
    }
    let (amount, power) = thousands(amount, MAX_DIGITS / 3);
    match i64::try_from(power).unwrap_or_default() * 3 - 9 {
        0 => amount.to_string(),
        power => format!("{amount}e{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        assert_eq!(canonical(text).as_deref(), want, "{text}");
        if let Some(want) = want {
            assert_eq!(canonical(want).as_deref(), Some(want), "the spelling of `{text}` is not its own");
        }
    }

    #[test]
    fn a_decimal_amount_is_written_in_the_largest_unit_that_divides_it() {
        check("1000m", Some("1"));
        check("0.5", Some("500m"));
        check("1.5", Some("1500m"));
        check("1500m", Some("1500m"));
        check("1000", Some("1k"));
        check("1500", Some("1500"));
        check("100000k", Some("100M"));
        check("+2", Some("2"));
        check("-0.25", Some("-250m"));
        check("0", Some("0"));
        check("0m", Some("0"));
        check("000200m", Some("200m"));
        check("1.", Some("1"));
        check(".5", Some("500m"));
        check("0.0000000001", Some("1n"));
    }

    #[test]
    fn a_binary_amount_stays_binary_where_it_is_whole_and_not_small() {
        check("1024Mi", Some("1Gi"));
        check("1536Mi", Some("1536Mi"));
        check("0.5Gi", Some("512Mi"));
        check("1Ki", Some("1Ki"));
        check("0.5Ki", Some("512"));
        check("1.3Ki", Some("1331200m"));
        check("0Gi", Some("0"));
        check("1025Ki", Some("1025Ki"));
    }

    #[test]
    fn an_exponent_stays_one() {
        check("1e3", Some("1e3"));
        check("1E3", Some("1e3"));
        check("12e2", Some("1200"));
        check("5e-3", Some("5e-3"));
        check("1e6", Some("1e6"));
    }

    #[test]
    fn what_is_no_quantity_or_too_large_to_be_exact_is_left_alone() {
        for text in
            ["", "m", "1x", "1.2.3", "1 Gi", "e3", "1e", "1e1234", "abc", "1EiB", "99999999999999999999999999999999999999E"]
        {
            check(text, None);
        }
    }
}
