//! Operators and functions on known values: CEL's, as far as JSON has the types.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::MAX_RESULT;
use super::parser::Operator;
use crate::value::Json;

/// Functions written around their value: name, least and most arguments.
pub const FUNCTIONS: &[(&str, usize, usize)] = &[
    ("ref", 1, 1),
    ("secret", 1, 1),
    ("has", 1, 1),
    ("size", 1, 1),
    ("string", 1, 1),
    ("int", 1, 1),
    ("double", 1, 1),
    ("bool", 1, 1),
];

/// Functions written behind their value: name, least and most arguments.
pub const METHODS: &[(&str, usize, usize)] = &[
    ("charAt", 1, 1),
    ("contains", 1, 1),
    ("endsWith", 1, 1),
    ("indexOf", 1, 2),
    ("item", 2, 2),
    ("join", 0, 1),
    ("lastIndexOf", 1, 2),
    ("lowerAscii", 0, 0),
    ("replace", 2, 3),
    ("reverse", 0, 0),
    ("size", 0, 0),
    ("split", 1, 2),
    ("startsWith", 1, 1),
    ("substring", 1, 2),
    ("trim", 0, 0),
    ("upperAscii", 0, 0),
];

/// Why an operation has no value.
#[derive(Debug, PartialEq)]
pub enum Fault {
    /// The result would cross [`MAX_RESULT`].
    Large,
    /// The value lacks what is asked for.
    Missing(String),
    Wrong {
        message: String,
        hint: Option<String>,
    },
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self::Wrong { message: message.into(), hint: None }
    }

    fn hint(self, hint: &str) -> Self {
        match self {
            Self::Large | Self::Missing(_) => self,
            Self::Wrong { message, .. } => Self::Wrong { message, hint: Some(hint.to_owned()) },
        }
    }
}

type Outcome = Result<Json, Fault>;

/// A number of JSON as CEL sees it.
#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Decimal(f64),
}

fn number(value: &Json) -> Option<Number> {
    let number = value.as_number()?;
    number.as_i64().map(Number::Whole).or_else(|| number.as_f64().map(Number::Decimal))
}

/// A position in a list: a whole number, also one written as `1.0`.
pub fn position(value: &Json) -> Option<usize> {
    let whole = match number(value)? {
        Number::Whole(it) => it,
        Number::Decimal(it) if it.fract() == 0.0 && it.abs() < 9e15 => it as i64,
        Number::Decimal(_) => return None,
    };
    usize::try_from(whole).ok()
}

/// With its article, for messages.
pub fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a truth value",
        Json::Number(it) if it.is_f64() => "a decimal number",
        Json::Number(_) => "a whole number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a mapping",
    }
}

/// The value as CEL's `string()` gives it. None for null, lists and mappings.
pub fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(it) => Some(it.to_string()),
        Json::Number(_) => number(value).map(|it| match it {
            Number::Whole(it) => it.to_string(),
            Number::Decimal(it) => it.to_string(),
        }),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// Bytes that a value takes, about, without what it holds.
pub fn own_weight(value: &Json) -> usize {
    match value {
        Json::String(text) => 16 + text.len(),
        Json::Object(map) => 16 + map.keys().map(|it| 16 + it.len()).sum::<usize>(),
        _ => 16,
    }
}

/// Bytes that a value takes, about.
pub fn weight(value: &Json) -> usize {
    let mut sum = 0;
    let mut todo = vec![value];
    while let Some(value) = todo.pop() {
        sum += own_weight(value);
        match value {
            Json::Array(items) => todo.extend(items),
            Json::Object(map) => todo.extend(map.values()),
            _ => {}
        }
    }
    sum
}

/// `!x`
pub fn not(value: &Json) -> Outcome {
    let truth = value.as_bool().ok_or_else(|| Fault::new(format!("`!` takes true or false, here is {}", type_of(value))));
    truth.map(|it| Json::Bool(!it))
}

/// `-x`
pub fn negate(value: &Json) -> Outcome {
    match number(value) {
        Some(Number::Whole(it)) => it.checked_neg().map(Json::from).ok_or_else(overflow),
        Some(Number::Decimal(it)) => Ok(Json::from(-it)),
        None => Err(Fault::new(format!("`-` takes a number, here is {}", type_of(value)))),
    }
}

fn overflow() -> Fault {
    Fault::new("the result is too large for a number")
}

/// All operators but `&&` and `||`.
pub fn binary(operator: Operator, left: Cow<'_, Json>, right: Cow<'_, Json>) -> Outcome {
    match operator {
        Operator::Equal => Ok(Json::Bool(equal(&left, &right))),
        Operator::NotEqual => Ok(Json::Bool(!equal(&left, &right))),
        Operator::In => contains(&left, &right),
        Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
            let order = order(&left, &right).ok_or_else(|| misfit(operator, &left, &right))?;
            Ok(Json::Bool(match operator {
                Operator::Less => order == Ordering::Less,
                Operator::LessEqual => order != Ordering::Greater,
                Operator::Greater => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }))
        }
        Operator::Add => add(left, right),
        _ => arithmetic(operator, &left, &right),
    }
}

fn misfit(operator: Operator, left: &Json, right: &Json) -> Fault {
    let (sign, a, b) = (operator.sign(), type_of(left), type_of(right));
    let fault = Fault::new(format!("`{sign}` cannot join {a} and {b}"));
    match (number(left), number(right)) {
        (Some(_), Some(_)) => fault.hint("make the whole number a decimal one with `double(…)`"),
        _ if left.is_string() && number(right).is_some() || right.is_string() && number(left).is_some() => {
            fault.hint("convert one with `string(…)`, `int(…)` or `double(…)`")
        }
        _ => fault,
    }
}

/// Numbers are equal by value, whatever their type; values of different types never are.
pub fn equal(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (Json::Number(_), Json::Number(_)) => order(left, right) == Some(Ordering::Equal),
        _ => left == right,
    }
}

fn order(left: &Json, right: &Json) -> Option<Ordering> {
    match (left, right) {
        (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
        (Json::Bool(a), Json::Bool(b)) => Some(a.cmp(b)),
        _ => match (number(left)?, number(right)?) {
            (Number::Whole(a), Number::Whole(b)) => Some(a.cmp(&b)),
            (Number::Decimal(a), Number::Decimal(b)) => a.partial_cmp(&b),
            (Number::Whole(a), Number::Decimal(b)) => mixed(a, b),
            (Number::Decimal(a), Number::Whole(b)) => mixed(b, a).map(Ordering::reverse),
        },
    }
}

/// Compares exactly: a whole number beyond 2^53 is not rounded to meet a decimal one.
fn mixed(whole: i64, decimal: f64) -> Option<Ordering> {
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if decimal.is_nan() {
        None
    } else if decimal >= EDGE {
        Some(Ordering::Less)
    } else if decimal < -EDGE {
        Some(Ordering::Greater)
    } else {
        // In range, so the cast only cuts the fraction off.
        let cut = decimal.trunc();
        Some(whole.cmp(&(cut as i64)).then_with(|| 0.0_f64.partial_cmp(&(decimal - cut)).unwrap_or(Ordering::Equal)))
    }
}

fn contains(needle: &Json, hay: &Json) -> Outcome {
    match hay {
        Json::Array(items) => Ok(Json::Bool(items.iter().any(|it| equal(it, needle)))),
        Json::Object(map) => Ok(Json::Bool(needle.as_str().is_some_and(|key| map.contains_key(key)))),
        Json::String(_) => Err(misfit(Operator::In, needle, hay).hint("write `text.contains(part)`")),
        _ => Err(misfit(Operator::In, needle, hay)),
    }
}

fn add(left: Cow<'_, Json>, right: Cow<'_, Json>) -> Outcome {
    match (&*left, &*right) {
        (Json::String(a), Json::String(b)) => {
            if a.len() + b.len() > MAX_RESULT {
                return Err(Fault::Large);
            }
            let Json::String(mut text) = left.into_owned() else { return Err(overflow()) };
            text.push_str(right.as_str().unwrap_or_default());
            Ok(Json::String(text))
        }
        (Json::Array(a), Json::Array(b)) => Ok(Json::Array(a.iter().chain(b).cloned().collect())),
        _ => arithmetic(Operator::Add, &left, &right),
    }
}

fn arithmetic(operator: Operator, left: &Json, right: &Json) -> Outcome {
    match (number(left), number(right)) {
        (Some(Number::Whole(a)), Some(Number::Whole(b))) => {
            if b == 0 && matches!(operator, Operator::Divide | Operator::Remainder) {
                return Err(Fault::new("division by zero"));
            }
            let result = match operator {
                Operator::Add => a.checked_add(b),
                Operator::Subtract => a.checked_sub(b),
                Operator::Multiply => a.checked_mul(b),
                Operator::Divide => a.checked_div(b),
                Operator::Remainder => a.checked_rem(b),
                _ => return Err(misfit(operator, left, right)),
            };
            result.map(Json::from).ok_or_else(overflow)
        }
        (Some(Number::Decimal(a)), Some(Number::Decimal(b))) => decimal(match operator {
            Operator::Add => a + b,
            Operator::Subtract => a - b,
            Operator::Multiply => a * b,
            Operator::Divide if b == 0.0 => return Err(Fault::new("division by zero")),
            Operator::Divide => a / b,
            _ => return Err(Fault::new("`%` takes whole numbers").hint("cut them with `int(…)`")),
        }),
        _ => Err(misfit(operator, left, right)),
    }
}

fn decimal(value: f64) -> Outcome {
    if value.is_finite() { Ok(Json::from(value)) } else { Err(overflow()) }
}

/// `size string int double bool`.
pub fn convert(name: &str, value: &Json) -> Outcome {
    let refused = || {
        let shown = value
            .as_str()
            .filter(|it| it.chars().count() <= 32)
            .map(|it| format!(" `{}`", it.escape_debug()))
            .unwrap_or_default();
        Fault::new(format!("`{name}` cannot be made of {}{shown}", type_of(value)))
    };
    match name {
        "size" => size(value),
        "string" => text_of(value).map(Json::String).ok_or_else(refused),
        "int" => match (number(value), value.as_str()) {
            (Some(Number::Whole(it)), _) => Ok(Json::from(it)),
            // CEL cuts towards zero, and refuses what does not fit.
            (Some(Number::Decimal(it)), _) if it.abs() < 9_223_372_036_854_775_807.0 => Ok(Json::from(it as i64)),
            (None, Some(text)) => text.parse::<i64>().map(Json::from).map_err(|_| refused()),
            _ => Err(refused()),
        },
        "double" => match (number(value), value.as_str()) {
            (Some(Number::Whole(it)), _) => Ok(Json::from(it as f64)),
            (Some(Number::Decimal(it)), _) => Ok(Json::from(it)),
            (None, Some(text)) => text.parse::<f64>().ok().filter(|it| it.is_finite()).map(Json::from).ok_or_else(refused),
            (None, None) => Err(refused()),
        },
        _ => match value {
            Json::Bool(it) => Ok(Json::Bool(*it)),
            Json::String(text) => match text.as_str() {
                "1" | "t" | "true" | "TRUE" | "True" => Ok(Json::Bool(true)),
                "0" | "f" | "false" | "FALSE" | "False" => Ok(Json::Bool(false)),
                _ => Err(refused()),
            },
            _ => Err(refused()),
        },
    }
}

/// Characters of a text, items of a list, entries of a mapping.
fn size(value: &Json) -> Outcome {
    match value {
        Json::String(text) => Ok(Json::from(text.chars().count())),
        Json::Array(items) => Ok(Json::from(items.len())),
        Json::Object(map) => Ok(Json::from(map.len())),
        _ => Err(Fault::new(format!("{} has no size", type_of(value)))),
    }
}

/// A function written behind its value; the number of arguments was checked.
pub fn method(name: &str, target: &Json, args: &[&Json]) -> Outcome {
    match (name, target) {
        ("size", _) => size(target),
        ("join", Json::Array(items)) => join(items, args),
        ("reverse", Json::Array(items)) => Ok(Json::Array(items.iter().rev().cloned().collect())),
        ("item", Json::Array(items)) => item(items, &Arguments { name, args }),
        ("join" | "item", _) => Err(Fault::new(format!("`{name}` takes a list, here is {}", type_of(target)))),
        (_, Json::String(text)) => text_method(name, text, &Arguments { name, args }),
        _ => Err(Fault::new(format!("`{name}` takes a text, here is {}", type_of(target)))),
    }
}

/// `list.item('type', 'Ready')`: the first mapping among the items whose field has that value.
fn item(items: &[Json], args: &Arguments<'_>) -> Outcome {
    let (field, value) = (args.text(0)?, args.args.get(1).copied().unwrap_or(&Json::Null));
    let found = items.iter().find(|it| it.get(field).is_some_and(|it| equal(it, value)));
    found.cloned().ok_or_else(|| Fault::Missing(format!("no item of the list has `{field}` {value}")))
}

struct Arguments<'a> {
    name: &'a str,
    args: &'a [&'a Json],
}

impl<'a> Arguments<'a> {
    fn text(&self, index: usize) -> Result<&'a str, Fault> {
        let arg = self.args.get(index).copied().unwrap_or(&Json::Null);
        arg.as_str().ok_or_else(|| {
            Fault::new(format!("argument {} of `{}` must be a text, here is {}", index + 1, self.name, type_of(arg)))
        })
    }

    fn whole(&self, index: usize) -> Result<Option<i64>, Fault> {
        let Some(arg) = self.args.get(index) else { return Ok(None) };
        let wrong =
            || Fault::new(format!("argument {} of `{}` must be a whole number, here is {}", index + 1, self.name, type_of(arg)));
        arg.as_i64().map(Some).ok_or_else(wrong)
    }

    /// A position among `length` characters, the end included.
    fn position(&self, index: usize, length: usize) -> Result<Option<usize>, Fault> {
        let Some(at) = self.whole(index)? else { return Ok(None) };
        let position = usize::try_from(at).ok().filter(|it| *it <= length);
        position.map(Some).ok_or_else(|| Fault::new(format!("{at} is outside a text of {length} characters")))
    }

    /// How many times at most; a negative number means no limit.
    fn count(&self, index: usize) -> Result<usize, Fault> {
        Ok(self.whole(index)?.map_or(usize::MAX, |it| usize::try_from(it).unwrap_or(usize::MAX)))
    }
}

fn text_method(name: &str, text: &str, args: &Arguments<'_>) -> Outcome {
    let length = || text.chars().count();
    // Bytes before that many characters.
    let offset = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(offset, _)| offset);
    let characters = |end: usize| text.get(..end).unwrap_or_default().chars().count();
    Ok(match name {
        "contains" => Json::Bool(text.contains(args.text(0)?)),
        "startsWith" => Json::Bool(text.starts_with(args.text(0)?)),
        "endsWith" => Json::Bool(text.ends_with(args.text(0)?)),
        "lowerAscii" => Json::String(text.to_ascii_lowercase()),
        "upperAscii" => Json::String(text.to_ascii_uppercase()),
        "trim" => Json::String(text.trim().to_owned()),
        "reverse" => Json::String(text.chars().rev().collect()),
        "charAt" => {
            let at = args.position(0, length())?.unwrap_or_default();
            Json::String(text.chars().nth(at).map(String::from).unwrap_or_default())
        }
        "indexOf" => {
            let from = offset(args.position(1, length())?.unwrap_or_default());
            let found = text.get(from..).unwrap_or_default().find(args.text(0)?);
            found.map_or(Json::from(-1), |at| Json::from(characters(from + at)))
        }
        "lastIndexOf" => {
            let part = args.text(0)?;
            // A match may begin at the given position, not after it.
            let until = args.position(1, length())?.map_or(text.len(), |at| (offset(at) + part.len()).min(text.len()));
            let found = (0..=until).rev().find_map(|end| text.get(..end)).and_then(|it| it.rfind(part));
            found.map_or(Json::from(-1), |at| Json::from(characters(at)))
        }
        "substring" => {
            let length = length();
            let start = args.position(0, length)?.unwrap_or_default();
            let end = args.position(1, length)?.unwrap_or(length);
            if end < start {
                return Err(Fault::new(format!("the end {end} is before the start {start}")));
            }
            Json::String(text.chars().skip(start).take(end - start).collect())
        }
        "replace" => {
            let (from, to, count) = (args.text(0)?, args.text(1)?, args.count(2)?);
            let found = text.matches(from).take(count).count();
            if text.len().saturating_add(found.saturating_mul(to.len())) > MAX_RESULT {
                return Err(Fault::Large);
            }
            Json::String(text.replacen(from, to, count))
        }
        "split" => split(text, args.text(0)?, args.count(1)?),
        _ => return Err(Fault::new(format!("there is no function `{name}`"))),
    })
}

/// At most `count` parts, the last with all that is left; an empty separator splits into characters.
fn split(text: &str, separator: &str, count: usize) -> Json {
    let items: Vec<Json> = match (separator.is_empty(), count) {
        (_, 0) => Vec::new(),
        (false, _) => text.splitn(count, separator).map(Json::from).collect(),
        (true, _) => {
            let cut = text.char_indices().nth(count - 1).map_or(text.len(), |(offset, _)| offset);
            let (single, rest) = text.split_at(cut);
            let rest = Some(rest).filter(|it| !it.is_empty()).map(Json::from);
            single.chars().map(|it| Json::from(it.to_string())).chain(rest).collect()
        }
    };
    Json::Array(items)
}

fn join(items: &[Json], args: &[&Json]) -> Outcome {
    let separator = if args.is_empty() { "" } else { Arguments { name: "join", args }.text(0)? };
    let mut out = String::new();
    for (index, item) in items.iter().enumerate() {
        let text = item
            .as_str()
            .ok_or_else(|| Fault::new(format!("`join` takes a list of texts, item {index} is {}", type_of(item))))?;
        if out.len() + separator.len() + text.len() > MAX_RESULT {
            return Err(Fault::Large);
        }
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(text);
    }
    Ok(Json::String(out))
}
