//! Policies (IAM, S3, SQS, KMS …) in one spelling. Services change what they were given: a list of one becomes a text, statements get
//! ids, lists another order. None of that says anything.
//!
//! Source: IAM User Guide, "Grammar of the IAM JSON policy language" (a list of one and its only item mean the same; the order of lists
//! of actions, resources and principals means nothing).

use serde_json::Map;
use trueup_sdk::Json;

/// Elements of a statement that hold one text or a list of them, in any order.
const LISTS: [&str; 4] = ["Action", "NotAction", "Resource", "NotResource"];

/// A policy in its one spelling. What is none is left as it is.
pub fn canonical(policy: Json) -> Json {
    let Json::Object(mut policy) = policy else { return policy };
    if let Some(statements) = policy.remove("Statement") {
        let statements = match statements {
            Json::Array(items) => items,
            one => vec![one],
        };
        policy.insert("Statement".to_owned(), statements.into_iter().map(statement).collect());
    }
    Json::Object(policy)
}

fn statement(it: Json) -> Json {
    let Json::Object(fields) = it else { return it };
    let spelt = fields.into_iter().map(|(name, value)| {
        let value = match name.as_str() {
            it if LISTS.contains(&it) => one_or_sorted(value),
            "Principal" | "NotPrincipal" => entries(value, |it| one_or_sorted(principal(it))),
            "Condition" => entries(value, |it| entries(it, |it| one_or_sorted(text(it)))),
            _ => value,
        };
        (name, value)
    });
    // An empty id is what a service shows for none.
    let kept = spelt.filter(|(name, value)| name != "Sid" || value.as_str() != Some(""));
    Json::Object(kept.collect::<Map<_, _>>())
}

fn entries(value: Json, spell: impl Fn(Json) -> Json) -> Json {
    match value {
        Json::Object(fields) => Json::Object(fields.into_iter().map(|(name, value)| (name, spell(value))).collect()),
        other => other,
    }
}

/// An account's number stands for its root user, and is shown as that.
fn principal(value: Json) -> Json {
    match value {
        Json::String(text) => Json::String(account(&text).map(str::to_owned).unwrap_or(text)),
        Json::Array(items) => items.into_iter().map(principal).collect(),
        other => other,
    }
}

fn account(text: &str) -> Option<&str> {
    let (front, back) = text.strip_suffix(":root")?.rsplit_once("::")?;
    (front.starts_with("arn:") && front.ends_with(":iam") && back.len() == 12).then_some(back)
}

/// Switches and numbers of conditions are texts to the service.
fn text(value: Json) -> Json {
    match value {
        Json::Bool(_) | Json::Number(_) => Json::String(value.to_string()),
        Json::Array(items) => items.into_iter().map(text).collect(),
        other => other,
    }
}

fn one_or_sorted(value: Json) -> Json {
    let Json::Array(mut items) = value else { return value };
    items.sort_by_key(ToString::to_string);
    items.dedup();
    match <[Json; 1]>::try_from(items) {
        Ok([only]) => only,
        Err(items) => Json::Array(items),
    }
}

#[cfg(test)]
mod tests {
    use trueup_sdk::json;

    use super::*;

    #[test]
    fn what_services_make_of_a_policy_is_the_same_policy() {
        let written = json!({ "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": ["b:Y", "a:X"], "Resource": ["*"],
            "Principal": { "AWS": "arn:aws:iam::123456789012:root" },
            "Condition": { "Bool": { "aws:SecureTransport": true } },
        }});
        let shown = json!({ "Version": "2012-10-17", "Statement": [{
            "Sid": "", "Effect": "Allow", "Action": ["a:X", "b:Y"], "Resource": "*",
            "Principal": { "AWS": ["123456789012"] },
            "Condition": { "Bool": { "aws:SecureTransport": "true" } },
        }]});
        assert_eq!(canonical(written.clone()), canonical(shown.clone()));
        assert_eq!(canonical(canonical(shown.clone())), canonical(shown));
        let mut other = written.clone();
        other["Statement"]["Effect"] = json!("Deny");
        assert_ne!(canonical(written), canonical(other));
        assert_eq!(canonical(json!("text")), json!("text"));
    }
}
