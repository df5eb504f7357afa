//! Reading a kubeconfig's tree as kubectl does: unknown keys are other tools', and names are looked up in lists.

use trueup_core::schema::suggest;
use trueup_core::value::Json;

use crate::config::decode::shown;
use crate::config::tree::{Member, Node, Value};

/// Names that a message lists.
const NAMES: usize = 10;

/// A mapping of the file, and what messages call it.
pub(super) struct Part<'n> {
    pub what: String,
    members: &'n [Member],
}

impl<'n> Part<'n> {
    /// # Errors
    ///
    /// Where it is no mapping.
    pub fn new(node: &'n Node, what: impl Into<String>) -> Result<Self, String> {
        let what = what.into();
        match &node.value {
            Value::Map(members) => Ok(Self { what, members }),
            Value::Plain(Json::Null) => Ok(Self { what, members: &[] }),
            Value::Plain(_) | Value::List(_) => Err(format!("{what} must be a mapping{}", line(node))),
        }
    }

    fn get(&self, key: &str) -> Option<&'n Node> {
        self.members.iter().find(|it| it.key == key).map(|it| &it.value).filter(|it| !it.is_null())
    }

    /// Whether there is something under this key.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Why what stands under a key is not taken.
    pub fn refused(&self, key: &str, why: &str) -> String {
        let at = self.get(key).map(line).unwrap_or_default();
        format!("`{key}` of {}{at}: {why}", self.what)
    }

    pub fn text(&self, key: &str) -> Result<Option<&'n str>, String> {
        match self.get(key).map(|it| &it.value) {
            None => Ok(None),
            Some(Value::Plain(Json::String(text))) => Ok(Some(text)),
            Some(_) => Err(self.refused(key, "it must be a text; quote it")),
        }
    }

    pub fn flag(&self, key: &str) -> Result<bool, String> {
        match self.get(key).map(|it| &it.value) {
            None => Ok(false),
            Some(Value::Plain(Json::Bool(flag))) => Ok(*flag),
            Some(_) => Err(self.refused(key, "it must be `true` or `false`")),
        }
    }

    pub fn part(&self, key: &str, what: &str) -> Result<Option<Part<'n>>, String> {
        self.get(key).map(|node| Part::new(node, what)).transpose()
    }

    fn items(&self, key: &str) -> Result<&'n [Node], String> {
        match self.get(key).map(|it| &it.value) {
            None => Ok(&[]),
            Some(Value::List(items)) => Ok(items),
            Some(_) => Err(self.refused(key, "it must be a list")),
        }
    }

    pub fn texts(&self, key: &str) -> Result<Vec<String>, String> {
        let text = |it: &Node| match &it.value {
            Value::Plain(Json::String(text)) if !text.contains('\0') => Ok(text.clone()),
            _ => Err(self.refused(key, "each of it must be a text; quote it")),
        };
        self.items(key)?.iter().map(text).collect()
    }

    /// `[{name, value}]`
    pub fn variables(&self, key: &str) -> Result<Vec<(String, String)>, String> {
        let pair = |it: &Node| {
            let it = Part::new(it, format!("each of `{key}`"))?;
            let (name, value) = (it.text("name")?.unwrap_or_default(), it.text("value")?.unwrap_or_default());
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(self.refused(key, "each of it must have the name of a variable, and a value"));
            }
            Ok((name.to_owned(), value.to_owned()))
        };
        self.items(key)?.iter().map(pair).collect()
    }

    /// The extension of that name, whatever it is.
    pub fn extension(&self, name: &str) -> Result<Option<Json>, String> {
        for item in self.items("extensions")? {
            let item = Part::new(item, "each of `extensions`")?;
            if item.text("name")? == Some(name) {
                return Ok(item.get("extension").map(Node::json));
            }
        }
        Ok(None)
    }

    /// The entry of that name in a list such as `contexts`, which holds it under `key`.
    pub fn named(&self, list: &str, key: &str, name: &str) -> Result<Part<'n>, String> {
        let what = format!("{key} `{}`", shown(name));
        let mut found = None;
        for item in self.items(list)? {
            let item = Part::new(item, format!("each of `{list}`"))?;
            if item.text("name")? == Some(name) {
                if found.is_some() {
                    return Err(format!("{what} stands twice in `{list}`; take one out"));
                }
                found = Some(item);
            }
        }
        match found {
            Some(item) => Ok(item.part(key, &what)?.unwrap_or(Part { what, members: &[] })),
            None if name.is_empty() => Err(format!("it names no {key}")),
            None => {
                let names = self.all(list)?;
                let near = suggest::nearest(name, names.iter().copied()).map(|it| format!("; did you mean `{}`?", shown(it)));
                Err(format!("there is no {what}: {}{}", self.names(list)?, near.unwrap_or_default()))
            }
        }
    }

    fn all(&self, list: &str) -> Result<Vec<&'n str>, String> {
        let name = |it: &'n Node| Part::new(it, format!("each of `{list}`"))?.text("name");
        Ok(self.items(list)?.iter().map(name).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// The names in a list, for people.
    pub fn names(&self, list: &str) -> Result<String, String> {
        let all = self.all(list)?;
        if all.is_empty() {
            return Ok(format!("`{list}` is empty"));
        }
        let more = if all.len() > NAMES { ", …" } else { "" };
        let names: Vec<_> = all.iter().take(NAMES).map(|it| format!("`{}`", shown(it))).collect();
        Ok(format!("`{list}` has {}{more}", names.join(", ")))
    }
}

fn line(node: &Node) -> String {
    format!(" in line {}", node.at.location().line)
}
