//! What `kinds/*.yaml` says of each kind, and what the plugin's own descriptors do.
//!
//! Texts have variables: `$identity` is the object's, `$account` the account's number, `{Vpc/main}` the identity of another document.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::{Map, Value as Json};

use super::yaml;

/// One kind's story.
pub struct Case {
    pub kind: String,
    /// Documents that it needs around it: `{kind, name, spec}`.
    pub around: Vec<Json>,
    /// What is declared at first.
    pub spec: Map<String, Json>,
    /// Each on top of those before it.
    pub changes: Vec<Change>,
    /// What somebody else does to the object, and what of it the plan says.
    pub drift: Drift,
    /// How somebody else makes the same object.
    pub foreign: Vec<Call>,
    /// What `foreign` makes before it is the kind's: `$identity` of other objects is not to be had there.
    pub count: Count,
    /// Fields that no change touches, and why.
    pub untested: BTreeMap<String, String>,
    /// What the plugin knows of the kind.
    pub descriptor: Json,
}

/// A change of the document.
pub struct Change {
    /// Fields with their new values; null takes a field out.
    pub set: Map<String, Json>,
    /// `update` or `replace`.
    pub action: String,
}

/// A change by another's hand.
pub struct Drift {
    pub calls: Vec<Call>,
    /// Fields that the plan is to name; none where there is nothing in the kind that can drift.
    pub fields: Vec<String>,
}

/// A call of another client.
#[derive(Clone)]
pub struct Call {
    /// `sqs create_queue`
    pub call: String,
    pub input: Json,
    /// Where the answer has what `$identity` is from then on.
    pub take: Option<String>,
}

/// How many objects there are.
pub struct Count {
    pub call: Call,
    /// Where the answer has them; lists on the way are passed through.
    pub items: String,
}

/// All kinds that a run is about.
pub fn all() -> Vec<Case> {
    let wanted = env::var("TRUEUP_TEST_KINDS").ok().filter(|it| !it.is_empty());
    let chosen = |it: &str| wanted.as_ref().is_none_or(|all| all.split(',').any(|name| name == it));
    names("tests/integration/aws/kinds").into_iter().filter(|it| chosen(it)).map(|it| Case::of(&it)).collect()
}

/// Names of the kinds that have a file in this folder of the repository.
pub fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let name = |it: PathBuf| Some(it.file_name()?.to_str()?.strip_suffix(".yaml")?.to_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(|it| name(it.path())).collect();
    names.sort();
    names
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What the plugin knows of a kind.
pub fn descriptor(kind: &str) -> Json {
    read(&root().join(format!("plugins/aws/kinds/{kind}.yaml")))
}

fn read(file: &Path) -> Json {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    yaml::document(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

impl Case {
    /// The story of this kind.
    pub fn of(kind: &str) -> Self {
        let mut file = read(&root().join(format!("tests/integration/aws/kinds/{kind}.yaml")));
        let mut take = |name: &str| file.as_object_mut().and_then(|it| it.remove(name)).unwrap_or_default();
        let change = |it: Json| Change { set: object(&it["set"]), action: it["as"].as_str().unwrap_or("update").to_owned() };
        let drift = take("drift");
        let count = take("count");
        let case = Self {
            kind: kind.to_owned(),
            around: list(take("around")),
            spec: object(&take("spec")),
            changes: list(take("changes")).into_iter().map(change).collect(),
            drift: Drift {
                calls: list(drift["calls"].clone()).iter().map(Call::of).collect(),
                fields: list(drift["fields"].clone()).iter().filter_map(|it| it.as_str().map(str::to_owned)).collect(),
            },
            foreign: list(take("foreign")).iter().map(Call::of).collect(),
            count: Count { call: Call::of(&count), items: count["items"].as_str().unwrap_or_default().to_owned() },
            untested: object(&take("untested"))
                .into_iter()
                .map(|(name, why)| (name, why.as_str().unwrap_or_default().to_owned()))
                .collect(),
            descriptor: descriptor(kind),
        };
        assert_eq!(file, Json::Object(Map::new()), "{kind}: what is this?");
        case
    }

    /// `Queue/main`
    pub fn resource(&self) -> String {
        format!("{}/main", self.kind)
    }

    pub fn has_names(&self) -> bool {
        self.descriptor.get("name").is_some()
    }

    /// Whether its objects carry the engine's mark.
    pub fn is_marked(&self) -> bool {
        self.descriptor.get("tags").is_some()
    }

    /// Every field of its documents, but for what identifies them.
    pub fn fields(&self) -> Vec<String> {
        object(&self.descriptor["fields"]).into_iter().map(|it| it.0).collect()
    }

    /// Kinds of the documents around it, and its own.
    pub fn kinds(&self) -> Vec<String> {
        let mut kinds: Vec<String> = self.around.iter().filter_map(|it| it["kind"].as_str().map(str::to_owned)).collect();
        kinds.push(self.kind.clone());
        kinds.sort();
        kinds.dedup();
        kinds
    }

    /// The changes of the file, and those of tags, which are the same for every kind.
    pub fn all_changes(&self) -> Vec<Change> {
        let tags = |tags: &[(&str, &str)]| {
            let tags: Map<String, Json> = tags.iter().map(|(name, it)| ((*name).to_owned(), Json::from(*it))).collect();
            Change { set: Map::from_iter([("tags".to_owned(), Json::Object(tags))]), action: "update".to_owned() }
        };
        let mut all: Vec<Change> =
            self.changes.iter().map(|it| Change { set: it.set.clone(), action: it.action.clone() }).collect();
        if self.is_marked() && !self.untested.contains_key("tags") {
            all.push(tags(&[("team", "a b")]));
            all.push(tags(&[("team", "c"), ("cost-centre", "7")]));
            all.push(tags(&[("cost-centre", "7")]));
        }
        all
    }
}

impl Call {
    fn of(it: &Json) -> Self {
        let text = |name: &str| it[name].as_str().map(str::to_owned);
        let input = if it["input"].is_null() { Json::Object(Map::new()) } else { it["input"].clone() };
        Self { call: text("call").unwrap_or_default(), input, take: text("take") }
    }
}

pub fn object(it: &Json) -> Map<String, Json> {
    it.as_object().cloned().unwrap_or_default()
}

fn list(it: Json) -> Vec<Json> {
    match it {
        Json::Array(items) => items,
        Json::Null => Vec::new(),
        one => vec![one],
    }
}

/// The items at a path; lists on the way are passed through.
pub fn items(value: &Json, path: &str) -> Vec<Json> {
    let mut found = vec![value.clone()];
    for step in path.split('.').filter(|it| !it.is_empty()) {
        found = found.iter().filter_map(|it| it.get(step)).flat_map(|it| list(it.clone())).collect();
    }
    found
}
