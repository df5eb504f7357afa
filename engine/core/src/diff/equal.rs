//! When two single values are the same, whatever the kind.

use crate::value::{Digest, Json, Marker, marker};

/// Whether two values that are no plain containers are the same: numbers by value, secrets by HMAC, a text and a file of
/// the revision by digest. An unknown is the same as nothing. Containers are compared member by member.
pub fn same_value(left: &Json, right: &Json) -> bool {
    match (marker(left), marker(right)) {
        (None, None) => plain(left, right),
        (Some(left), Some(right)) => same_marker(&left, &right),
        (Some(Marker::Blob { sha256, size }), None) => same_text(right, sha256, size),
        (None, Some(Marker::Blob { sha256, size })) => same_text(left, sha256, size),
        _ => false,
    }
}

fn plain(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => {
            // Integers first: as floats, neighbours beyond 2^53 would be equal.
            match (left.as_i64().zip(right.as_i64()), left.as_u64().zip(right.as_u64())) {
                (Some((left, right)), _) => left == right,
                (None, Some((left, right))) => left == right,
                (None, None) => left.as_f64() == right.as_f64(),
            }
        }
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_value(left, right))
        }
        (Json::Object(left), Json::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same_value(value, other)))
        }
        (left, right) => left == right,
    }
}

fn same_marker(left: &Marker<'_>, right: &Marker<'_>) -> bool {
    match (left, right) {
        (Marker::Secret { hmac: left, .. }, Marker::Secret { hmac: right, .. }) => !left.is_empty() && left == right,
        (Marker::Blob { .. }, Marker::Blob { .. }) => left == right,
        _ => false,
    }
}

fn same_text(text: &Json, sha256: &str, size: u64) -> bool {
    let Some(text) = text.as_str() else { return false };
    u64::try_from(text.len()) == Ok(size) && Digest::parse(sha256) == Some(Digest::of(text.as_bytes()))
}

/// Whether a value says nothing: null, an empty list, a mapping of such values. Declared but not observed is no change.
pub fn hollow(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.values().all(hollow),
        Json::Bool(_) | Json::Number(_) | Json::String(_) => false,
    }
}
