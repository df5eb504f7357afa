//! By which field, or fields, items of a list are told apart.

use crate::value::{Json, Segment, item_key};

/// Merge key of a list of mappings: a field as a rule, several where the system tells items apart by all of them (the ports of a
/// Kubernetes Service by `port` and `protocol`).
///
/// Several are one key with commas, here and in paths: `port,protocol`, of which `80,TCP` is a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListKey {
    name: String,
    /// What counts where an item does not say, by the order of the fields.
    defaults: Vec<Option<String>>,
}

impl ListKey {
    /// A key of these fields.
    pub fn new(fields: &[&str]) -> Self {
        Self { name: fields.join(","), defaults: vec![None; fields.len()] }
    }

    /// All fields with commas between them, as paths name the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.name.split(',')
    }

    /// The same, where an item that does not have `field` counts as if it had this value.
    pub(crate) fn assume(&mut self, field: &str, value: &Json) {
        let at = self.fields().position(|it| it == field);
        if let Some(slot) = at.and_then(|at| self.defaults.get_mut(at)) {
            *slot = item_key(value);
        }
    }

    /// The key's value of an item whose fields `get` gives as texts; None where one is missing.
    pub fn value_by(&self, get: impl Fn(&str) -> Option<String>) -> Option<String> {
        let parts = self.fields().zip(&self.defaults).map(|(field, default)| get(field).or_else(|| default.clone()));
        Some(parts.collect::<Option<Vec<String>>>()?.join(","))
    }

    /// The key's value of an item.
    pub fn value(&self, item: &Json) -> Option<String> {
        self.value_by(|field| item_key(item.get(field)?))
    }

    /// The segment of a path that leads to the item of this value.
    pub fn segment(&self, value: String) -> Segment {
        Segment::Item { key: self.name.clone(), value }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn several_fields_tell_items_apart_together_and_one_may_be_left_out_that_has_a_default() {
        let mut key = ListKey::new(&["port", "protocol"]);
        assert_eq!(key.value(&json!({"port": 53, "protocol": "UDP"})).as_deref(), Some("53,UDP"));
        assert_eq!(key.value(&json!({"port": 53})), None);
        key.assume("protocol", &json!("TCP"));
        assert_eq!(key.value(&json!({"port": 53})).as_deref(), Some("53,TCP"));
        assert_eq!(key.value(&json!({"protocol": "UDP"})), None, "there is no default port");
        assert_eq!(key.value(&json!({"port": {}, "protocol": "UDP"})), None);
        assert_eq!((key.name(), key.fields().count()), ("port,protocol", 2));
    }
}
