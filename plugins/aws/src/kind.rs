//! Kinds as data: what `kinds/*.yaml` says of each, and nothing of how it is carried out.
//!
//! A kind names operations of its service (`model`), says where in their inputs and outputs each field stands, and what finds an object
//! again. `kinds/README.md` describes every key for whoever adds one.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use trueup_sdk::{Error, Json, Result};

/// The kinds as `build.rs` made them of their files.
const TEXT: &str = include_str!(concat!(env!("OUT_DIR"), "/kinds.json"));

/// One kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kind {
    /// From the name of the file.
    #[serde(skip)]
    pub kind: String,
    pub about: String,
    /// A service of the models.
    pub service: String,
    /// Where an object that was read tells its identity; a text with `$` is made of what is known of the object.
    pub identity: String,
    /// How an object is called; none where the system draws its identity and there is nothing else.
    #[serde(default)]
    pub name: Option<Name>,
    /// What an object stands in, where it has an address within that.
    #[serde(default)]
    pub scope: Option<Parent>,
    pub list: Vec<Listing>,
    /// Lists do not tell all of an object: `one` does.
    #[serde(default)]
    pub brief: bool,
    /// Looks at one object; the first says whether it is there.
    #[serde(default)]
    pub one: Vec<Look>,
    /// A listing of some objects by `$identities`.
    #[serde(default)]
    pub many: Option<Listing>,
    pub create: Call,
    #[serde(default)]
    pub update: Vec<Update>,
    pub delete: Vec<Call>,
    #[serde(default)]
    pub tags: Option<Tags>,
    /// Until a change is over.
    #[serde(default)]
    pub wait: Option<Wait>,
    /// What others may refer to, and where an object that was read has it.
    #[serde(default)]
    pub status: BTreeMap<String, String>,
    pub fields: BTreeMap<String, Field>,
    /// Milliseconds after a cut-off create in which absence proves nothing.
    #[serde(default)]
    pub settle: Option<u64>,
    /// Old and new may stand side by side for a while.
    #[serde(default)]
    pub create_first: bool,
    /// Objects stand in an object of this kind, under its name.
    #[serde(default)]
    pub nests: Option<String>,
    /// Types of Terraform, and the attribute that holds what is the identity here.
    #[serde(default)]
    pub terraform: BTreeMap<String, String>,
}

/// How long a create may stay unseen, where neither a name nor a token keeps a second one from being made.
const SETTLE: u64 = 60_000;

/// A name that documents give.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Name {
    /// Member of the create's input; empty where none takes it.
    #[serde(default)]
    pub at: String,
    /// Where an object that was read has it; by default as `at`. `tail` is what stands behind the last `/` or `:` of the identity.
    #[serde(default)]
    pub read: Option<String>,
    /// The name is made of these fields, with spaces between them, in place of one of its own.
    #[serde(default)]
    pub of: Vec<String>,
    /// A regular expression that names fit.
    #[serde(default)]
    pub pattern: Option<String>,
}

/// What objects of a kind stand in.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parent {
    /// Field of the document that names it.
    pub field: String,
    /// Kind of it.
    pub kind: String,
}

/// A listing: an operation that answers in pages.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listing {
    pub call: String,
    #[serde(default)]
    pub input: Json,
    /// Where the objects stand in a page; lists on the way are passed through. By default what the model says.
    #[serde(default)]
    pub items: Option<String>,
    /// The items are texts, each this member of its object.
    #[serde(default)]
    pub text: Option<String>,
    /// One listing for each object of this kind, which `$parent` means.
    #[serde(default)]
    pub of: Option<String>,
    /// Of a second listing: the member by which its items belong to the objects of the first.
    #[serde(default)]
    pub join: Option<String>,
    /// Of a second listing: its items are many for an object, in a list of this name.
    #[serde(default)]
    pub many: Option<String>,
    /// Items with one of these values at a path are none of this kind, or gone: `State: [deleted]`.
    #[serde(default)]
    pub drop: BTreeMap<String, Vec<String>>,
    /// Items without one of these values at a path are none of this kind.
    #[serde(default)]
    pub keep: BTreeMap<String, Vec<String>>,
}

/// A look at one object.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Look {
    pub call: String,
    #[serde(default)]
    pub input: Json,
    /// Part of the output that is taken; all of it by default.
    #[serde(default)]
    pub take: Option<String>,
    /// Member of the object that it becomes; by default its members are the object's.
    #[serde(default, rename = "as")]
    pub member: Option<String>,
    /// Codes of errors that mean that there is nothing to tell.
    #[serde(default)]
    pub none: Vec<String>,
}

/// A call that changes something.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Call {
    pub call: String,
    #[serde(default)]
    pub input: Json,
    /// Where in the input fields stand; at its top by default.
    #[serde(default)]
    pub under: String,
    /// Part of the output that tells of the object.
    #[serde(default)]
    pub take: Option<String>,
    /// Only where the object that was seen has something at one of these fields of its document.
    #[serde(default)]
    pub given: Vec<String>,
    /// A call for each item of this output of the object, which `$raw` means.
    #[serde(default)]
    pub for_each: Option<String>,
    /// Codes of errors that mean that it is done already.
    #[serde(default)]
    pub done: Vec<String>,
}

/// A call that brings fields to what is declared.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    /// None where `add` and `remove` do all.
    #[serde(default)]
    pub call: Option<String>,
    #[serde(default)]
    pub input: Json,
    #[serde(default)]
    pub under: String,
    /// The fields that it sets, each with its place in the input where that is another than at the create; all fields that no other
    /// call sets where this is empty.
    #[serde(default)]
    pub fields: BTreeMap<String, Option<String>>,
    /// A call for each field.
    #[serde(default)]
    pub each: bool,
    /// All its fields go along where one has changed.
    #[serde(default)]
    pub whole: bool,
    /// The create does not take these fields: this call follows it.
    #[serde(default)]
    pub after_create: bool,
    /// Calls that come first.
    #[serde(default)]
    pub before: Vec<Call>,
    /// A call that comes after, and is told by `$raw` what the first one answered.
    #[serde(default)]
    pub then: Option<Call>,
    /// For each value of its only field the call that brings it about.
    #[serde(default)]
    pub switch: BTreeMap<String, Call>,
    /// What a new object has there by itself, as a document would say it.
    #[serde(default)]
    pub fresh: Option<Json>,
    /// Where none of its fields is declared any more.
    #[serde(default)]
    pub unset: Option<Call>,
    /// Items of one list or mapping that are to be there.
    #[serde(default)]
    pub add: Option<Items>,
    /// Items that are to go.
    #[serde(default)]
    pub remove: Option<Items>,
    /// Items that were there with other values; by default they are removed and added.
    #[serde(default)]
    pub change: Option<Items>,
    /// Its items go before the object does.
    #[serde(default)]
    pub clear: bool,
}

/// A call for items of a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Items {
    pub call: String,
    #[serde(default)]
    pub input: Json,
    /// Where the items go: in a list, or each alone where `one` says so; empty for the members of one item at the top.
    #[serde(default)]
    pub at: String,
    /// A call for each item.
    #[serde(default)]
    pub one: bool,
    /// Of each item only this field goes along.
    #[serde(default)]
    pub only: Option<String>,
    /// Nothing of an item goes along but what `$raw` says in the input.
    #[serde(default)]
    pub bare: bool,
    /// What each item says besides.
    #[serde(default)]
    pub with: Json,
    /// In place of an item goes what an output of the object has for it.
    #[serde(default)]
    pub find: Option<Find>,
    #[serde(default)]
    pub done: Vec<String>,
}

/// What stands for an item: of the structures in an output the one whose member is the item, and of that one another member.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Find {
    pub status: String,
    pub by: String,
    pub take: String,
}

/// Where tags stand, and how they are changed. The engine's mark is among them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tags {
    /// Of an object that was read.
    #[serde(default = "tags")]
    pub read: String,
    /// Of the create's input; empty where it takes none.
    #[serde(default = "tags")]
    pub at: String,
    /// One call takes all of them.
    #[serde(default)]
    pub whole: bool,
    /// The lists lack them: they come from one look at all tagged objects, by ARN.
    #[serde(default)]
    pub sweep: Option<Sweep>,
    pub add: Items,
    pub remove: Items,
}

fn tags() -> String {
    "Tags".to_owned()
}

/// How the tagging API knows a kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sweep {
    /// `sqs`, `logs:log-group`.
    pub types: String,
    /// The ARN of an object: a path, or a text with `$`.
    pub arn: String,
}

/// What an object says of a change that is under way.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wait {
    /// Where an object that was read says how it is.
    pub at: String,
    /// What it says when it is as it will stay.
    pub ready: Vec<String>,
    /// What it says when it will not get there.
    #[serde(default)]
    pub failed: Vec<String>,
    /// Why, in words.
    #[serde(default)]
    pub why: Option<String>,
    /// Milliseconds between two looks.
    #[serde(default = "again")]
    pub every: u64,
}

const fn again() -> u64 {
    2_000
}

/// One field of documents.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Field {
    pub about: Option<String>,
    /// Where it stands in the create's input, and in an object that was read; by default the name with a capital.
    pub at: Option<String>,
    /// Where an object that was read has it, where that is elsewhere. Empty: nowhere.
    pub read: Option<String>,
    /// How its value is written there.
    #[serde(rename = "is")]
    pub spelling: Spelling,
    /// Of a value that the model only calls a text: `integer`, `boolean`.
    #[serde(rename = "type")]
    pub scalar: Option<String>,
    /// Its items or members, where they are others than the model's.
    pub fields: Option<BTreeMap<String, Field>>,
    /// It is a list; with `fields` by themselves it is one value.
    pub list: bool,
    pub required: bool,
    pub immutable: bool,
    /// Said at the create; later somebody else may change it.
    pub initial: bool,
    /// Written and never read: it takes secrets alone.
    pub secret: bool,
    pub unordered: bool,
    /// What is written is not to be read again: it is compared with what was written last.
    pub write_only: bool,
    /// Where it stands by which of its neighbours is given: `{cidr: "IpRanges[0].Description"}`.
    pub beside: BTreeMap<String, String>,
    /// Fields by which items of a list are told apart.
    pub key: Vec<String>,
    /// What the service takes where nothing is said.
    pub default: Option<Json>,
    /// Members of the model's structure that no document has.
    pub without: Vec<String>,
    /// A path in the repository may stand there: its content goes along.
    pub blob: bool,
    /// The words that stand for `false` and `true` there.
    pub words: Vec<String>,
    /// It is a list of texts, and one of structures with this member alone there.
    pub member: Option<String>,
    /// Made of the content of one of these fields: its SHA-256, so that a change of what cannot be read back is seen.
    pub digest_of: Vec<String>,
}

/// How a value stands on the wire.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Spelling {
    /// As the model has it.
    #[default]
    Plain,
    /// JSON text of a document, such as a policy.
    Json,
    /// The same of a policy, which services spell anew.
    Policy,
    /// Base64 of a text.
    Base64,
    /// A number of days, a switch: text on the wire.
    Text,
    /// A mapping in documents, a list of keys and values there.
    Pairs,
    /// A list in documents, a text with commas there.
    Commas,
    /// A name of DNS: without its last dot, in small letters, and `*` as it is.
    Domain,
}

/// Every kind, by name.
///
/// # Errors
/// Where a descriptor is no descriptor, which the crate's own tests rule out.
pub fn all() -> Result<&'static BTreeMap<String, Kind>> {
    static ALL: OnceLock<Result<BTreeMap<String, Kind>, String>> = OnceLock::new();
    let read = || {
        let mut kinds: BTreeMap<String, Kind> = serde_json::from_str(TEXT).map_err(|error| error.to_string())?;
        kinds.iter_mut().for_each(|(name, kind)| kind.kind.clone_from(name));
        Ok(kinds)
    };
    ALL.get_or_init(read).as_ref().map_err(|error| Error::internal(format!("the kinds cannot be read: {error}")))
}

/// The kind of this name.
///
/// # Errors
/// Where there is none.
pub fn find(name: &str) -> Result<&'static Kind> {
    all()?.get(name).ok_or_else(|| Error::unsupported(format!("there is no kind `{name}`")))
}

impl Kind {
    /// Milliseconds after a cut-off create in which absence proves nothing: none where another try of it cannot make a second object.
    pub fn settle_time(&self) -> u64 {
        let service = crate::model::service(&self.service);
        let token = service.and_then(|it| it.operation(&self.create.call)).is_some_and(|it| it.token.is_some());
        self.settle.unwrap_or(if self.name.is_some() || token { 0 } else { SETTLE })
    }

    /// How an object is called that was read.
    pub fn name_of(&self, raw: &Json, identity: &str) -> Option<String> {
        let name = self.name.as_ref()?;
        if !name.of.is_empty() {
            let document = crate::object::fields(self, raw).ok()?;
            return Some(self.joined(&document));
        }
        match name.read.as_deref().unwrap_or(&name.at) {
            "tail" => identity.rsplit(['/', ':']).next().map(str::to_owned),
            path => crate::path::text(raw, path).map(|it| it.trim_end_matches('.').to_owned()),
        }
    }

    /// The name that fields of a document make together.
    pub fn joined(&self, spec: &serde_json::Map<String, Json>) -> String {
        let of = self.name.iter().flat_map(|it| &it.of);
        let parts = of.filter_map(|it| spec.get(it).map(crate::field::text_of)).filter(|it| !it.is_empty());
        parts.collect::<Vec<_>>().join(" ")
    }

    /// Whether documents have a field `name` besides the descriptor's.
    pub fn is_called(&self) -> bool {
        self.name.as_ref().is_some_and(|it| it.of.is_empty())
    }

    /// The call that sets a field, if one does.
    pub fn setter(&self, field: &str) -> Option<&Update> {
        let named = self.update.iter().find(|it| it.fields.contains_key(field));
        let rest = || self.update.iter().find(|it| it.fields.is_empty() && it.call.is_some());
        named.or_else(rest)
    }

    /// Whether the create's input takes a field.
    pub fn at_create(&self, field: &str) -> bool {
        !self.update.iter().any(|it| it.after_create && it.fields.contains_key(field))
    }
}

impl Field {
    /// Where it stands in an input.
    pub fn place(&self, name: &str) -> String {
        self.at.clone().unwrap_or_else(|| capital(name))
    }

    /// Where an object that was read has it; none where it is nowhere.
    pub fn source(&self, name: &str) -> Option<String> {
        match &self.read {
            Some(read) => (!read.is_empty()).then(|| read.clone()),
            None => (!self.secret && !self.write_only).then(|| self.place(name)),
        }
    }
}

/// `cidrBlock` is `CidrBlock` in the API, as a rule.
pub fn capital(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |it| it.to_ascii_uppercase().to_string() + chars.as_str())
}

/// `CidrBlock` is `cidrBlock` in documents, `KMSKeyId` is `kmsKeyId`, `DNSName` is `dnsName`.
pub fn small(name: &str) -> String {
    let capitals = name.chars().take_while(char::is_ascii_uppercase).count();
    let whole = capitals == name.chars().count();
    let lower = if whole { capitals } else { capitals.saturating_sub(1).max(1) };
    name.chars().enumerate().map(|(at, it)| if at < lower { it.to_ascii_lowercase() } else { it }).collect()
}

#[cfg(test)]
mod tests;
