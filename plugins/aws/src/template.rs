//! Inputs of calls with what is known of an object put in: `$identity`, `arn:$partition:sqs:$region:$account:$name`.

use trueup_sdk::{Json, json};

use crate::config::Config;
use crate::path;

/// What is known of an object when a call about it is made.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub identity: String,
    pub name: String,
    pub scope: String,
    /// Identity of what it stands in.
    pub parent: String,
    pub token: String,
    /// Of several objects at once.
    pub identities: Vec<String>,
    /// The object as it was read, or as its create answered.
    pub raw: Json,
    /// What others may refer to.
    pub status: Json,
    /// The `spec` of the document.
    pub spec: Json,
}

impl Known {
    /// The value of a variable, without its `$`; none where nothing is known of it.
    fn value(&self, config: &Config, name: &str) -> Option<Json> {
        let text = |it: &str| (!it.is_empty()).then(|| Json::from(it));
        match name {
            "identity" => text(&self.identity),
            "name" => text(&self.name),
            "scope" => text(&self.scope),
            "parent" => text(&self.parent),
            "token" => text(&self.token),
            "raw" => (!self.raw.is_null()).then(|| self.raw.clone()),
            "identities" => Some(json!(self.identities)),
            "region" => text(&config.region),
            "account" => Some(Json::from(config.account.as_deref().unwrap_or_default())),
            "partition" => text(config.partition()),
            // Where a bucket is made; the first region of all has no name there.
            "location" => text(&config.region).filter(|_| config.region != "us-east-1"),
            // An item that is no structure.
            other => {
                let (of, rest) = other.split_once('.')?;
                let from = match of {
                    "raw" => &self.raw,
                    "status" => &self.status,
                    "spec" => &self.spec,
                    _ => return None,
                };
                path::find(from, rest)
            }
        }
    }

    /// A template with its variables put in. A member whose variable is not known is left out.
    pub fn fill(&self, config: &Config, template: &Json) -> Json {
        self.filled(config, template).unwrap_or(Json::Null)
    }

    fn filled(&self, config: &Config, template: &Json) -> Option<Json> {
        Some(match template {
            Json::String(text) => return self.text(config, text),
            Json::Array(items) => items.iter().filter_map(|it| self.filled(config, it)).collect(),
            Json::Object(fields) => {
                let fill = |(name, it): (&String, &Json)| Some((name.clone(), self.filled(config, it)?));
                Json::Object(fields.iter().filter_map(fill).collect())
            }
            other => other.clone(),
        })
    }

    /// One variable keeps its type; within a text it becomes text.
    fn text(&self, config: &Config, text: &str) -> Option<Json> {
        if !text.contains('$') {
            return Some(Json::from(text));
        }
        if let Some(plain) = text.strip_prefix("$$") {
            return Some(Json::from(format!("${plain}")));
        }
        if let Some(name) = text.strip_prefix('$').filter(|it| it.chars().all(is_name)) {
            return self.value(config, name);
        }
        let mut out = String::with_capacity(text.len() + 32);
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let end = after.find(|it| !is_plain_name(it)).unwrap_or(after.len());
            let (name, behind) = after.split_at(end);
            out.push_str(&crate::field::text_of(&self.value(config, name)?));
            rest = behind;
        }
        out.push_str(rest);
        Some(Json::from(out))
    }

    /// A path into the object that was read, or a text with variables.
    pub fn tell(&self, config: &Config, source: &str) -> Option<Json> {
        if source.contains('$') { self.text(config, source) } else { path::find(&self.raw, source) }
    }
}

fn is_name(it: char) -> bool {
    is_plain_name(it) || "[]=.*".contains(it)
}

fn is_plain_name(it: char) -> bool {
    it.is_ascii_alphanumeric() || it == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_alone_and_within_texts() {
        let config = Config::parse(&json!({ "region": "eu-west-1", "account": "123456789012" })).unwrap();
        let known = Known {
            name: "jobs".into(),
            identities: vec!["a".into(), "b".into()],
            raw: json!({ "A": { "B": 7 } }),
            ..Known::default()
        };
        let template = json!({
            "Arn": "arn:$partition:sqs:$region:$account:$name",
            "Ids": "$identities",
            "Filters": [{ "Name": "id", "Values": "$identities" }],
            "Number": "$raw.A.B",
            "Unknown": "$identity",
            "Plain": true,
        });
        let want = json!({
            "Arn": "arn:aws:sqs:eu-west-1:123456789012:jobs",
            "Ids": ["a", "b"],
            "Filters": [{ "Name": "id", "Values": ["a", "b"] }],
            "Number": 7,
            "Plain": true,
        });
        assert_eq!(known.fill(&config, &template), want);
        let item = Known { raw: json!("v3"), ..Known::default() };
        assert_eq!(item.fill(&config, &json!({ "VersionId": "$raw" })), json!({ "VersionId": "v3" }));
        assert_eq!(known.tell(&config, "A.B"), Some(json!(7)));
        assert_eq!(known.tell(&config, "x-$name"), Some(json!("x-jobs")));
    }
}
