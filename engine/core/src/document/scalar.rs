//! What a plain YAML scalar means, in each dialect, and which numbers can be kept exactly.
//!
//! The core dialect is YAML 1.2; a scalar that go-yaml v2 (and so kubectl) reads differently, or that YAML 1.1 read as a
//! number in base 60, is ambiguous and must be quoted. The kubectl dialect is go-yaml v2's resolver as it stands: octal
//! integers, `yes` and `off`, underscores; `y` and `n` alone are text, and so are dates.

use serde_json::Number;

use crate::manifest::YamlDialect;

/// Integers beyond this travel as texts.
const EXACT: i64 = 1 << 53;

/// The meaning of a plain scalar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Number(Number),
    Text,
    /// Read differently by YAML 1.1 and 1.2: both readings, in words.
    Ambiguous {
        newer: String,
        older: String,
    },
    /// A number, but none that can be kept; the text says why.
    Unkept(&'static str),
}

const BEYOND: &str = "beyond 2^53, so it cannot be kept exactly";
const DIGITS: &str = "too long to be kept exactly";
const INFINITE: &str = "not a finite number";

/// Reads a plain scalar.
pub(crate) fn read(text: &str, dialect: YamlDialect) -> Plain {
    // Most scalars are words: their first character decides.
    match text.as_bytes().first() {
        None => return Plain::Null,
        Some(b'+' | b'-' | b'.' | b'0'..=b'9' | b'~' | b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O') => {}
        Some(_) => return Plain::Text,
    }
    match dialect {
        YamlDialect::Kubectl => older(text),
        YamlDialect::Core => {
            let (new, old) = (newer(text), older(text));
            if new == old && !base60(text) && !leading_zero(text) {
                return new;
            }
            let old = if base60(text) { "a number in base 60".to_owned() } else { words(text, &old) };
            Plain::Ambiguous { newer: words(text, &new), older: old }
        }
    }
}

/// Reads a number of JSON's grammar.
pub(crate) fn json_number(text: &str) -> Result<Number, &'static str> {
    match decimal(text) {
        Plain::Number(number) => Ok(number),
        Plain::Unkept(why) => Err(why),
        _ => Err("not a number"),
    }
}

fn words(text: &str, plain: &Plain) -> String {
    match plain {
        Plain::Null => "null".to_owned(),
        Plain::Bool(it) => it.to_string(),
        Plain::Number(number) => format!("the number {number}"),
        Plain::Text => "text".to_owned(),
        Plain::Unkept(_) | Plain::Ambiguous { .. } => format!("the number {text}"),
    }
}

/// YAML 1.2 core schema.
fn newer(text: &str) -> Plain {
    match text {
        "null" | "Null" | "NULL" | "~" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        _ => {}
    }
    if is_infinite(text) {
        return Plain::Unkept(INFINITE);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, false, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, false, 8);
    }
    if is_decimal(text) { decimal(text) } else { Plain::Text }
}

/// go-yaml v2's resolver.
fn older(text: &str) -> Plain {
    match text {
        "null" | "Null" | "NULL" | "~" => return Plain::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Plain::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Plain::Bool(false),
        _ => {}
    }
    if is_infinite(text) {
        return Plain::Unkept(INFINITE);
    }
    if text.starts_with('.') {
        return if is_decimal(text) { decimal(text) } else { Plain::Text };
    }
    if !text.starts_with(|it: char| it.is_ascii_digit() || it == '+' || it == '-') {
        return Plain::Text;
    }
    let bare = text.replace('_', "");
    let (negative, digits) = match bare.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, bare.strip_prefix('+').unwrap_or(&bare)),
    };
    let based = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => radix(digits.get(2..).unwrap_or_default(), negative, 16),
        [b'0', b'o' | b'O', ..] => radix(digits.get(2..).unwrap_or_default(), negative, 8),
        [b'0', b'b' | b'B', ..] => radix(digits.get(2..).unwrap_or_default(), negative, 2),
        [b'0', _, ..] => radix(digits, negative, 8),
        _ => Plain::Text,
    };
    match based {
        Plain::Text if is_decimal(&bare) => decimal(&bare),
        other => other,
    }
}

fn is_infinite(text: &str) -> bool {
    matches!(text, ".nan" | ".NaN" | ".NAN") || matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF")
}

/// Digits of a base; text where they are none.
fn radix(digits: &str, negative: bool, base: u32) -> Plain {
    if digits.is_empty() || !digits.chars().all(|it| it.is_digit(base)) {
        return Plain::Text;
    }
    match i64::from_str_radix(digits, base) {
        Ok(number) if number <= EXACT => Plain::Number(Number::from(if negative { -number } else { number })),
        _ => Plain::Unkept(BEYOND),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_decimal(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let mantissa = match number.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !number.is_empty() && digits(number),
    };
    mantissa && exponent.is_none_or(|it| !it.is_empty() && digits(it))
}

/// A decimal number, kept only if nothing of it is lost. Whole numbers become integers however they are written.
fn decimal(text: &str) -> Plain {
    let text = text.strip_prefix('+').unwrap_or(text);
    let whole = text.strip_prefix('-').unwrap_or(text);
    if whole.bytes().all(|it| it.is_ascii_digit()) {
        return match text.parse::<i64>() {
            Ok(number) if (-EXACT..=EXACT).contains(&number) => Plain::Number(Number::from(number)),
            _ => Plain::Unkept(BEYOND),
        };
    }
    let Ok(number) = text.parse::<f64>() else { return Plain::Unkept("not a number") };
    if !number.is_finite() {
        return Plain::Unkept("too large for a number");
    }
    if significant(text) != significant(&format!("{number:e}")) {
        return Plain::Unkept(DIGITS);
    }
    if number.fract() == 0.0 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the range is checked first")]
        return if number.abs() <= EXACT as f64 { Plain::Number(Number::from(number as i64)) } else { Plain::Unkept(BEYOND) };
    }
    Number::from_f64(number).map_or(Plain::Unkept(INFINITE), Plain::Number)
}

/// Digits without leading and trailing zeros, and the power of ten of the first: equal for equal numbers.
fn significant(text: &str) -> (String, i64) {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    // A number like 1e99999999999999999999 is infinite or zero before it comes here to be compared with itself.
    let exponent = exponent.parse::<i64>().unwrap_or(i64::from(i32::MIN));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: String = whole.chars().chain(fraction.chars()).collect();
    let trimmed = digits.trim_start_matches('0');
    let leading = i64::try_from(digits.len() - trimmed.len()).unwrap_or(i64::MAX);
    let point = i64::try_from(whole.len()).unwrap_or(i64::MAX);
    let out = trimmed.trim_end_matches('0').to_owned();
    let power = if out.is_empty() { 0 } else { exponent.saturating_add(point).saturating_sub(leading) };
    (out, power)
}

/// `1:30`, as YAML 1.1 reads it.
fn base60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let mut rest = parts.peekable();
    first.starts_with(|it: char| it.is_ascii_digit())
        && first.bytes().all(|it| it.is_ascii_digit() || it == b'_')
        && rest.peek().is_some()
        && rest.all(|part| {
            let part = part.split_once('.').map_or(part, |(whole, _)| whole);
            matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
        })
}

/// `0644`, `007`, `0o17`: octal to one reader and decimal or text to another.
fn leading_zero(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    match digits.as_bytes() {
        [b'0', b'o' | b'O', rest @ ..] => !rest.is_empty() && rest.iter().all(u8::is_ascii_digit),
        [b'0', rest @ ..] => !rest.is_empty() && rest.iter().all(|it| it.is_ascii_digit() || *it == b'_'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Json, json};

    fn value(plain: Plain) -> Result<Json, &'static str> {
        match plain {
            Plain::Null => Ok(Json::Null),
            Plain::Bool(it) => Ok(Json::Bool(it)),
            Plain::Number(it) => Ok(Json::Number(it)),
            Plain::Text => Ok(json!("text")),
            Plain::Ambiguous { .. } => Err("ambiguous"),
            Plain::Unkept(_) => Err("number"),
        }
    }

    #[track_caller]
    fn check(text: &str, core: Result<Json, &'static str>, kubectl: Result<Json, &'static str>) {
        assert_eq!(value(read(text, YamlDialect::Core)), core, "core {text}");
        assert_eq!(value(read(text, YamlDialect::Kubectl)), kubectl, "kubectl {text}");
    }

    #[test]
    fn scalars_that_all_readers_agree_on_are_read() {
        for (text, want) in [
            ("", Json::Null),
            ("~", Json::Null),
            ("Null", Json::Null),
            ("TRUE", json!(true)),
            ("false", json!(false)),
            ("0", json!(0)),
            ("-12", json!(-12)),
            ("+7", json!(7)),
            ("0x1F", json!(31)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1.0", json!(1)),
            ("1e3", json!(1000)),
            ("-0.0", json!(0)),
            ("0.1", json!(0.1)),
            ("9007199254740992", json!(9_007_199_254_740_992_i64)),
            ("web", json!("text")),
            ("y", json!("text")),
            ("n", json!("text")),
            ("nO", json!("text")),
            ("-", json!("text")),
            ("1.2.3", json!("text")),
            ("10.0.0.1", json!("text")),
            ("2001-12-14", json!("text")),
            ("2001-12-14T21:59:43Z", json!("text")),
            ("1e", json!("text")),
            ("0x", json!("text")),
            ("12px", json!("text")),
            ("::1", json!("text")),
            ("80:80:80:90", json!("text")),
        ] {
            check(text, Ok(want.clone()), Ok(want));
        }
    }

    #[test]
    fn scalars_that_readers_disagree_on_must_be_quoted_unless_kubectl_reads_them() {
        for (text, kubectl) in [
            ("0644", json!(420)),
            ("-010", json!(-8)),
            ("08", json!(8)),
            ("0o17", json!(15)),
            ("0b101", json!(5)),
            ("1_000", json!(1000)),
            ("1_0.5", json!(10.5)),
            ("yes", json!(true)),
            ("No", json!(false)),
            ("ON", json!(true)),
            ("off", json!(false)),
            ("1:30", json!("text")),
            ("12:30:45", json!("text")),
            ("-1:30.5", json!("text")),
        ] {
            check(text, Err("ambiguous"), Ok(kubectl));
        }
    }

    #[test]
    fn numbers_that_cannot_be_kept_are_errors_and_never_rounded() {
        for text in [
            "9007199254740993",
            "-9007199254740993",
            "9223372036854775809",
            "1e400",
            "1e20",
            "0x20000000000001",
            ".nan",
            ".inf",
            "-.Inf",
            "3.14159265358979323846",
            "123456789.123456789123",
        ] {
            check(text, Err("number"), Err("number"));
        }
        check("99999999999999999999999999999999", Err("number"), Err("number"));
    }

    #[test]
    fn an_underflow_is_not_rounded_to_zero() {
        assert_eq!(value(read("1e-999", YamlDialect::Core)), Err("number"));
        assert_eq!(value(read("1e-99999999999999999999", YamlDialect::Core)), Err("number"));
    }
}
