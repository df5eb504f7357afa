//! Paths into values of an API: `VpcConfig.SubnetIds`, `Changes[0].Action`, `Attributes[Key=idle_timeout].Value`.
//!
//! A step in brackets goes into a list: by position, or to the item whose member has that value. Where something is put, what is
//! missing on the way is made.

use trueup_sdk::Json;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step<'a> {
    Member(&'a str),
    Item(usize),
    Where(&'a str, &'a str),
}

fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    // A dot within brackets belongs to the value that is looked for.
    let mut depth = 0;
    let parts = path.split(move |it: char| {
        match it {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        it == '.' && depth == 0
    });
    parts.filter(|it| !it.is_empty()).flat_map(|part| {
        let (name, rest) = part.split_once('[').map_or((part, None), |(name, rest)| (name, Some(rest)));
        let inner = rest.map(|it| it.trim_end_matches(']')).map(|it| match it.split_once('=') {
            Some((member, value)) => Step::Where(member, value),
            None => Step::Item(it.parse().unwrap_or(usize::MAX)),
        });
        (!name.is_empty()).then_some(Step::Member(name)).into_iter().chain(inner)
    })
}

/// What stands at a path; nothing where a part of it is missing or null.
pub fn get<'a>(value: &'a Json, path: &str) -> Option<&'a Json> {
    let mut at = value;
    for step in steps(path) {
        at = match step {
            Step::Member(name) => at.get(name)?,
            Step::Item(index) => at.get(index)?,
            Step::Where(member, wanted) => at.as_array()?.iter().find(|it| is(it, member, wanted))?,
        };
    }
    (!at.is_null()).then_some(at)
}

/// What stands at a path that may name several items: `Policies[*].Arn` is a list, as is `Versions[*IsDefault=false]`.
pub fn find(value: &Json, path: &str) -> Option<Json> {
    let Some((front, rest)) = path.split_once("[*") else { return get(value, path).cloned() };
    let (filter, rest) = rest.split_once(']')?;
    let rest = rest.trim_start_matches('.');
    let items = if front.is_empty() { value } else { get(value, front)? }.as_array()?;
    let wanted = |it: &&Json| filter.split_once('=').is_none_or(|(member, value)| is(it, member, value));
    Some(items.iter().filter(wanted).filter_map(|it| if rest.is_empty() { Some(it.clone()) } else { find(it, rest) }).collect())
}

/// The text at a path.
pub fn text<'a>(value: &'a Json, path: &str) -> Option<&'a str> {
    get(value, path)?.as_str()
}

fn is(item: &Json, member: &str, wanted: &str) -> bool {
    match item.get(member) {
        Some(Json::String(text)) => text == wanted,
        Some(Json::Null) | None => false,
        Some(other) => crate::field::text_of(other).as_str() == wanted,
    }
}

/// Puts a value at a path. What stands in the way and is neither a structure nor a list gives way.
pub fn put(value: &mut Json, path: &str, new: Json) {
    let mut at = value;
    for step in steps(path) {
        let Some(next) = enter(at, &step) else { return };
        at = next;
    }
    *at = new;
}

/// A place to put something, made where it is missing.
fn enter<'a>(at: &'a mut Json, step: &Step<'_>) -> Option<&'a mut Json> {
    match step {
        Step::Member(name) => {
            if !at.is_object() {
                *at = Json::Object(serde_json::Map::new());
            }
            Some(at.as_object_mut()?.entry((*name).to_owned()).or_insert(Json::Null))
        }
        Step::Item(index) => {
            let items = list(at)?;
            // Positions in descriptors are small numbers.
            while items.len() <= *index && items.len() < 64 {
                items.push(Json::Null);
            }
            items.get_mut(*index)
        }
        Step::Where(member, wanted) => {
            let items = list(at)?;
            let found = items.iter().position(|it| is(it, member, wanted));
            let index = found.unwrap_or_else(|| {
                items.push(trueup_sdk::json!({ *member: *wanted }));
                items.len() - 1
            });
            items.get_mut(index)
        }
    }
}

fn list(at: &mut Json) -> Option<&mut Vec<Json>> {
    if !at.is_array() {
        *at = Json::Array(Vec::new());
    }
    at.as_array_mut()
}

#[cfg(test)]
mod tests {
    use trueup_sdk::json;

    use super::*;

    #[test]
    fn what_was_put_is_found_again() {
        for path in ["A", "A.B", "A[0].B", "A[2]", "A[Key=x.y].Value", "[Key=a].Value", "A.B[Key=x].C[0].D"] {
            let mut value = Json::Null;
            put(&mut value, path, json!(7));
            assert_eq!(get(&value, path), Some(&json!(7)), "{path}: {value}");
        }
    }

    #[test]
    fn items_are_chosen_by_a_member() {
        let value = json!({ "Attributes": [{ "Key": "a", "Value": "1" }, { "Key": "b.c", "Value": "2" }] });
        assert_eq!(text(&value, "Attributes[Key=b.c].Value"), Some("2"));
        assert_eq!(text(&value, "Attributes[Key=d].Value"), None);
        assert_eq!(get(&value, ""), Some(&value));
        assert_eq!(get(&json!({ "A": null }), "A"), None);
    }

    #[test]
    fn several_items_are_a_list() {
        let value = json!({ "P": [{ "Arn": "a", "Own": true }, { "Arn": "b", "Own": false }, { "Own": true }] });
        assert_eq!(find(&value, "P[*].Arn"), Some(json!(["a", "b"])));
        assert_eq!(find(&value, "P[*Own=true].Arn"), Some(json!(["a"])));
        assert_eq!(find(&value, "P[*Own=false]"), Some(json!([{ "Arn": "b", "Own": false }])));
        assert_eq!(find(&value, "P[Own=true].Arn"), Some(json!("a")));
        assert_eq!(find(&value, "Q[*].Arn"), None);
    }

    #[test]
    fn neighbours_stay_where_something_is_put() {
        let mut value = json!({ "A": [{ "Key": "x", "Value": 1 }] });
        put(&mut value, "A[Key=y].Value", json!(2));
        put(&mut value, "B.C", json!(3));
        assert_eq!(value, json!({ "A": [{ "Key": "x", "Value": 1 }, { "Key": "y", "Value": 2 }], "B": { "C": 3 } }));
    }
}
