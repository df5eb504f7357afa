//! `plugin.yaml`: how a plugin's project is built, and what its tests run against.
//!
//! Owns the file's form and what can be judged from it alone: whether an object fits its kind is judged with the manifest.
//! `{port}` in a text of `test` stands for the port of the test's server, which is another at each start
//! ([`Test::at_port`]).
//!
//! Invariant: a key that is not understood is an error, and no finding repeats a credential or a secret. Those of the file
//! are literal, as they open a test's server and nothing else.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use trueup_core::diagnostic::{Diagnostic, Location, codes};
use trueup_core::value::{Json, Map};

use crate::config::decode::{Decoder, Fields, is_name, shown};
use crate::config::provider::{dir_fault, dns_fault, host_fault, read_fault, secret_fault};
use crate::config::tree::{self, BYTES, Node, Value};
use crate::regular;

/// Name of the file at the root of a plugin's project.
pub const FILE: &str = "plugin.yaml";

/// What stands for the port of the test's server.
pub const PORT: &str = "{port}";

/// What stands for an object's identity in the paths of [`Extra`].
pub const IDENTITY: &str = "{identity}";

/// A plugin's project.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginProject {
    /// `[a-z0-9-]{1,40}`.
    pub name: String,
    pub build: Build,
    pub test: Option<Test>,
}

/// How the component comes to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Build {
    /// By a toolchain that the kit knows; the component is `build/<name>.wasm`.
    Language {
        language: Language,
        /// The Python module without `.py`, or the JavaScript file, where it has not the name of the project.
        entry: Option<String>,
    },
    /// By a program of the author's, run in the project's folder.
    Command {
        /// Program and arguments; not empty.
        command: Vec<String>,
        /// The file that it writes, below the project's folder.
        component: String,
    },
}

/// A language that the kit has an SDK, a template and a toolchain for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Language {
    Rust,
    Python,
    Js,
    Go,
}

/// What the plugin is tested against, and what it is granted there.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// None: the objects are in `dirs`, or a recording answers.
    pub server: Option<Server>,
    /// The provider's settings, an object.
    pub config: Json,
    pub hosts: Vec<String>,
    /// As the plugin names them; each is an empty temporary folder.
    pub dirs: Vec<String>,
    pub dns: Vec<String>,
    pub reads: Vec<String>,
    /// By slot.
    pub credentials: BTreeMap<String, Credential>,
    /// By name.
    pub secrets: BTreeMap<String, String>,
    /// Not empty.
    pub objects: Vec<Object>,
    pub extra: Option<Extra>,
    /// A recording, below the project's folder, that answers instead of a server.
    pub recording: Option<String>,
    pub budget: Budget,
}

/// The program that plays the remote system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Program and arguments, run in the project's folder; not empty. It is ready when the port accepts connections.
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
}

/// What fills a credential slot, in plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    Bearer(String),
    /// By name.
    Header(BTreeMap<String, String>),
    Basic {
        user: String,
        password: String,
    },
}

/// An object to test with.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub kind: String,
    /// The `metadata.name` of its document.
    pub name: String,
    /// An object; `${{ secret('name') }}` as in documents.
    pub spec: Json,
    /// Other valid values for fields of `spec`, where none can be made from the schema. An object, often empty.
    pub change: Json,
    /// Where it is written.
    pub location: Location,
}

/// How a stranger sets a field that the kind does not know, and how it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    pub change: ExtraChange,
    pub look: ExtraLook,
}

/// A request to the test's server that changes a field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraChange {
    pub method: String,
    /// Path and query; [`IDENTITY`] stands for the object's identity.
    pub path: String,
    pub body: Option<Json>,
}

/// A GET that shows the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraLook {
    /// Path and query; [`IDENTITY`] stands for the object's identity.
    pub path: String,
    /// Into the answer (RFC 6901).
    pub pointer: String,
}

/// How long a pass over many objects may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub objects: u64,
    pub seconds: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { objects: 10_000, seconds: 30 }
    }
}

impl Language {
    /// Every language, by the name that `--lang` and `build.language` take.
    pub const ALL: [(&'static str, Self); 4] =
        [("rust", Self::Rust), ("python", Self::Python), ("js", Self::Js), ("go", Self::Go)];

    /// The name that `--lang` and `build.language` take.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "js",
            Self::Go => "go",
        }
    }
}

impl PluginProject {
    /// Reads `plugin.yaml`; `path` is what findings name it.
    ///
    /// # Errors
    ///
    /// Every finding of the file at once, each with its place.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let root = tree::read(&path.into(), bytes, codes::PLUGIN_PROJECT)?;
        let mut decoder = Decoder::new(codes::PLUGIN_PROJECT);
        match read_project(&mut decoder, &root) {
            Some(project) if decoder.found.is_empty() => Ok(project),
            _ => Err(decoder.into_found()),
        }
    }

    /// Reads the `plugin.yaml` of a folder; gives the file's bytes too, for showing findings in it.
    ///
    /// # Errors
    ///
    /// Where there is none or it cannot be read: one finding. Otherwise every finding of the file.
    pub fn open(folder: &Path) -> Result<(Self, Vec<u8>), (Vec<Diagnostic>, Vec<u8>)> {
        let bytes = regular::read(&folder.join(FILE), BYTES as u64).map_err(|error| {
            let finding =
                Diagnostic::error(codes::PLUGIN_PROJECT, format!("cannot read `{}`: {error}", folder.join(FILE).display()));
            let hint = "go to the folder of a plugin's project, or make one: `trueup plugin new NAME --lang rust`";
            let finding = if error.kind() == io::ErrorKind::NotFound { finding.hint(hint) } else { finding };
            (vec![finding], Vec::new())
        })?;
        match Self::parse(FILE, &bytes) {
            Ok(project) => Ok((project, bytes)),
            Err(findings) => Err((findings, bytes)),
        }
    }

    /// Where the component lies, relative to the project's folder.
    pub fn component(&self) -> String {
        match &self.build {
            Build::Language { .. } => format!("build/{}.wasm", self.name),
            Build::Command { component, .. } => component.clone(),
        }
    }
}

impl Test {
    /// The same with [`PORT`] replaced in every text that may hold it: the server's command and environment, `config`,
    /// `hosts`, `dns`, and the objects' `spec` and `change`.
    #[must_use]
    pub fn at_port(&self, port: u16) -> Self {
        let port = port.to_string();
        let text = |it: &String| it.replace(PORT, &port);
        let texts = |them: &[String]| them.iter().map(text).collect();
        let server = self.server.as_ref().map(|it| Server {
            command: texts(&it.command),
            env: it.env.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        });
        let object = |it: &Object| Object { spec: replaced(&it.spec, &port), change: replaced(&it.change, &port), ..it.clone() };
        Self {
            server,
            config: replaced(&self.config, &port),
            hosts: texts(&self.hosts),
            dns: texts(&self.dns),
            objects: self.objects.iter().map(object).collect(),
            ..self.clone()
        }
    }
}

fn replaced(value: &Json, port: &str) -> Json {
    match value {
        Json::String(text) => Json::String(text.replace(PORT, port)),
        Json::Array(items) => items.iter().map(|it| replaced(it, port)).collect(),
        Json::Object(map) => Json::Object(map.iter().map(|(key, it)| (key.clone(), replaced(it, port))).collect::<Map<_, _>>()),
        plain => plain.clone(),
    }
}

fn read_project(decoder: &mut Decoder, root: &Node) -> Option<PluginProject> {
    let what = "a plugin's project";
    let fields = decoder.fields(root, what, &["apiVersion", "kind", "metadata", "build", "test"]);
    for (key, want) in [("apiVersion", "trueup.dev/v1"), ("kind", "Plugin")] {
        if let Some(node) = decoder.required(fields, key, what) {
            decoder.choice(node, &format!("`{key}`"), &[(want, ())]);
        }
    }
    let name = decoder.required(fields, "metadata", what).and_then(|node| read_name(decoder, node));
    let build = decoder.required(fields, "build", what).and_then(|node| read_build(decoder, node));
    let test = fields.get("test").map(|node| read_test(decoder, node));
    Some(PluginProject { name: name?, build: build?, test })
}

fn read_name(decoder: &mut Decoder, node: &Node) -> Option<String> {
    let fields = decoder.fields(node, "`metadata`", &["name"]);
    let node = decoder.required(fields, "name", "`metadata`")?;
    let name = decoder.text(node, "`name`")?;
    if !is_name(name) {
        decoder.error(&node.at, "a plugin's name must be 1 to 40 of `a-z`, `0-9` and `-`");
    }
    Some(name.to_owned())
}

fn read_build(decoder: &mut Decoder, node: &Node) -> Option<Build> {
    let fields = decoder.fields(node, "`build`", &["language", "entry", "command", "component"]);
    match (fields.get("language"), fields.get("command")) {
        (Some(_), Some(command)) => {
            decoder.error(&command.at, "`language` and `command` exclude each other");
            None
        }
        (Some(language), None) => {
            if let Some(component) = fields.get("component") {
                decoder.error(&component.at, "`component` goes with `command`; a language writes `build/<name>.wasm`");
            }
            let entry = match fields.get("entry") {
                Some(node) => Some(inner_path(decoder, node, "`entry`")?),
                None => None,
            };
            Some(Build::Language { language: decoder.choice(language, "`language`", &Language::ALL)?, entry })
        }
        (None, Some(command)) => {
            if let Some(entry) = fields.get("entry") {
                decoder.error(&entry.at, "`entry` goes with `language`");
            }
            let command = arguments(decoder, command, "`command`");
            let component = decoder.required(fields, "component", "`build`")?;
            Some(Build::Command { component: inner_path(decoder, component, "`component`")?, command: command? })
        }
        (None, None) => {
            let hint = "`{language: rust}`, or `{command: [\"make\"], component: out.wasm}`";
            decoder.error(fields.at, "`build` needs a key `language` or `command`").hint = Some(hint.into());
            None
        }
    }
}

const TEST: &[&str] =
    &["server", "config", "hosts", "dirs", "dns", "reads", "credentials", "secrets", "objects", "extra", "recording", "budget"];

fn read_test(decoder: &mut Decoder, node: &Node) -> Test {
    let fields = decoder.fields(node, "`test`", TEST);
    let server = fields.get("server");
    if server.is_none() {
        refuse_port(decoder, node);
    }
    let recording = fields.get("recording");
    if let (Some(_), Some(node)) = (server, recording) {
        decoder.error(&node.at, "`server` and `recording` exclude each other");
    }
    let credentials = map_of(decoder, fields.get("credentials"), "`credentials`", is_name, read_credential);
    let secret = |decoder: &mut Decoder, node: &Node| decoder.text(node, "the value of a secret").map(str::to_owned);
    Test {
        server: server.and_then(|it| read_server(decoder, it)),
        config: object(decoder, fields.get("config"), "`config`"),
        hosts: judged(decoder, fields, "hosts", host_fault),
        dirs: judged(decoder, fields, "dirs", dir_fault),
        dns: judged(decoder, fields, "dns", dns_fault),
        reads: judged(decoder, fields, "reads", read_fault),
        credentials,
        secrets: map_of(decoder, fields.get("secrets"), "`secrets`", |it| secret_fault(it).is_none(), secret),
        objects: read_objects(decoder, fields),
        extra: fields.get("extra").and_then(|it| read_extra(decoder, it)),
        recording: recording.and_then(|it| inner_path(decoder, it, "`recording`")),
        budget: fields.get("budget").map(|it| read_budget(decoder, it)).unwrap_or_default(),
    }
}

/// Without a server there is no port.
fn refuse_port(decoder: &mut Decoder, node: &Node) {
    match &node.value {
        Value::Plain(Json::String(text)) if text.contains(PORT) => {
            let hint = "`server: {command: [\"./server\", \"{port}\"]}`";
            decoder.error(&node.at, format!("`{PORT}` is the port of `server`, and there is none")).hint = Some(hint.into());
        }
        Value::Plain(_) => {}
        Value::List(items) => items.iter().for_each(|it| refuse_port(decoder, it)),
        Value::Map(members) => members.iter().for_each(|it| refuse_port(decoder, &it.value)),
    }
}

fn read_server(decoder: &mut Decoder, node: &Node) -> Option<Server> {
    let fields = decoder.fields(node, "`server`", &["command", "env"]);
    let is_variable = |it: &str| !it.is_empty() && !it.contains(['=', '\0']);
    let value = |decoder: &mut Decoder, node: &Node| match &node.value {
        Value::Plain(Json::String(text)) => Some(text.clone()),
        _ => decoder.text(node, "a variable of `env`").map(str::to_owned),
    };
    let env = map_of(decoder, fields.get("env"), "`env`", is_variable, value);
    let command = decoder.required(fields, "command", "`server`")?;
    Some(Server { command: arguments(decoder, command, "`command`")?, env })
}

fn read_credential(decoder: &mut Decoder, node: &Node) -> Option<Credential> {
    let fields = decoder.fields(node, "a credential", &["bearer", "header", "basic"]);
    let given = [fields.get("bearer"), fields.get("header"), fields.get("basic")];
    if given.iter().flatten().count() != 1 {
        let hint = "`{bearer: text}`, `{header: {Name: value}}` or `{basic: {user: name, password: text}}`";
        decoder.error(&node.at, "a credential needs one of `bearer`, `header`, `basic`").hint = Some(hint.into());
        return None;
    }
    let text = |decoder: &mut Decoder, node: &Node| decoder.text(node, "a credential's value").map(str::to_owned);
    if let Some(node) = given[0] {
        return text(decoder, node).map(Credential::Bearer);
    }
    if let Some(node) = given[1] {
        let is_header = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_');
        return Some(Credential::Header(map_of(decoder, Some(node), "`header`", is_header, text)));
    }
    let fields = decoder.fields(given[2]?, "`basic`", &["user", "password"]);
    let mut part = |key| decoder.required(fields, key, "`basic`").and_then(|it| text(decoder, it));
    Some(Credential::Basic { user: part("user")?, password: part("password")? })
}

fn read_objects(decoder: &mut Decoder, fields: Fields<'_>) -> Vec<Object> {
    let Some(node) = decoder.required(fields, "objects", "`test`") else { return Vec::new() };
    let Value::List(items) = &node.value else {
        decoder.error(&node.at, "`objects` must be a list");
        return Vec::new();
    };
    if items.is_empty() {
        decoder.error(&node.at, "a test needs an object of each kind");
    }
    let mut objects: Vec<Object> = Vec::new();
    for item in items {
        let Some(object) = read_object(decoder, item) else { continue };
        if objects.iter().any(|it| it.kind == object.kind && it.name == object.name) {
            decoder.error(&item.at, format!("the {} `{}` stands twice", shown(&object.kind), shown(&object.name)));
        }
        objects.push(object);
    }
    objects
}

fn read_object(decoder: &mut Decoder, node: &Node) -> Option<Object> {
    let fields = decoder.fields(node, "an object", &["kind", "name", "spec", "change"]);
    let mut text = |key| {
        let node = decoder.required(fields, key, "an object")?;
        decoder.text(node, &format!("`{key}`")).map(str::to_owned)
    };
    let (kind, name) = (text("kind"), text("name"));
    let spec = decoder.required(fields, "spec", "an object");
    Some(Object {
        spec: object(decoder, spec, "`spec`"),
        change: object(decoder, fields.get("change"), "`change`"),
        location: node.at.location(),
        kind: kind?,
        name: name?,
    })
}

fn read_extra(decoder: &mut Decoder, node: &Node) -> Option<Extra> {
    let fields = decoder.fields(node, "`extra`", &["change", "look"]);
    let change = decoder.required(fields, "change", "`extra`").and_then(|node| {
        let fields = decoder.fields(node, "`change`", &["method", "path", "body"]);
        let method = decoder.required(fields, "method", "`change`").and_then(|it| decoder.choice(it, "`method`", METHODS));
        let path = request_path(decoder, fields, "`change`");
        Some(ExtraChange { method: method?.to_owned(), path: path?, body: fields.get("body").map(Node::json) })
    });
    let look = decoder.required(fields, "look", "`extra`").and_then(|node| {
        let fields = decoder.fields(node, "`look`", &["path", "pointer"]);
        let path = request_path(decoder, fields, "`look`");
        let pointer = decoder.required(fields, "pointer", "`look`")?;
        let text = decoder.text(pointer, "`pointer`")?;
        if !text.starts_with('/') {
            decoder.error(&pointer.at, "a pointer begins with `/`: `/assignee`");
        }
        Some(ExtraLook { path: path?, pointer: text.to_owned() })
    });
    Some(Extra { change: change?, look: look? })
}

const METHODS: &[(&str, &str)] = &[("PATCH", "PATCH"), ("POST", "POST"), ("PUT", "PUT"), ("DELETE", "DELETE")];

fn request_path(decoder: &mut Decoder, fields: Fields<'_>, what: &str) -> Option<String> {
    let node = decoder.required(fields, "path", what)?;
    let text = decoder.text(node, "`path`")?;
    if !text.starts_with('/') || text.contains(char::is_whitespace) {
        decoder.error(&node.at, "the path of a request begins with `/`: `/tickets/{identity}`");
    }
    Some(text.to_owned())
}

fn read_budget(decoder: &mut Decoder, node: &Node) -> Budget {
    let fields = decoder.fields(node, "`budget`", &["objects", "seconds"]);
    let mut count = |key, most: u64, default| {
        let Some(node) = fields.get(key) else { return default };
        let value = node.json().as_u64().filter(|it| (1..=most).contains(it));
        if value.is_none() {
            decoder.error(&node.at, format!("`{key}` must be a whole number from 1 to {most}"));
        }
        value.unwrap_or(default)
    };
    let default = Budget::default();
    Budget { objects: count("objects", 1_000_000, default.objects), seconds: count("seconds", 3600, default.seconds) }
}

/// Program and arguments: texts that may stand twice.
fn arguments(decoder: &mut Decoder, node: &Node, what: &str) -> Option<Vec<String>> {
    let items = match &node.value {
        Value::List(items) if !items.is_empty() => items,
        _ => {
            decoder.error(&node.at, format!("{what} must be a list: the program, then its arguments")).hint =
                Some("such as `[\"python3\", \"server.py\", \"{port}\"]`".into());
            return None;
        }
    };
    items.iter().map(|it| decoder.text(it, &format!("each of {what}")).map(str::to_owned)).collect()
}

/// A file below the project's folder.
fn inner_path(decoder: &mut Decoder, node: &Node, what: &str) -> Option<String> {
    let text = decoder.text(node, what)?;
    let clean = text.strip_prefix("./").unwrap_or(text);
    if clean.contains(['\\', '\0']) || clean.split('/').any(|it| matches!(it, "" | "." | "..")) {
        decoder.error(&node.at, format!("{what} must be a file below the project's folder, without `..`"));
        return None;
    }
    Some(clean.to_owned())
}

fn object(decoder: &mut Decoder, node: Option<&Node>, what: &str) -> Json {
    if let Some(node) = node {
        decoder.members(node, what);
    }
    match node.map(Node::json) {
        Some(Json::Object(map)) => Json::Object(map),
        _ => Json::Object(Map::new()),
    }
}

/// Rights, judged as those of `trueup.yaml` are, whatever the port will be.
fn judged(decoder: &mut Decoder, fields: Fields<'_>, key: &str, fault: fn(&str) -> Option<&'static str>) -> Vec<String> {
    let what = format!("`{key}`");
    let mut out = Vec::new();
    for (text, at) in decoder.texts(fields.get(key), &what) {
        match fault(&text.replace(PORT, "1")) {
            Some(fault) => drop(decoder.error(at, format!("`{}` in {what} {fault}", shown(text)))),
            None => out.push(text.to_owned()),
        }
    }
    out
}

/// A mapping whose keys people choose, each judged by `fits`.
fn map_of<T>(
    decoder: &mut Decoder,
    node: Option<&Node>,
    what: &str,
    fits: impl Fn(&str) -> bool,
    read: impl Fn(&mut Decoder, &Node) -> Option<T>,
) -> BTreeMap<String, T> {
    let Some(node) = node else { return BTreeMap::new() };
    let mut out = BTreeMap::new();
    for member in decoder.members(node, what) {
        if !fits(&member.key) {
            decoder.error(&member.at, format!("`{}` cannot be a name in {what}", shown(&member.key)));
        } else if let Some(value) = read(decoder, &member.value) {
            out.insert(member.key.clone(), value);
        }
    }
    out
}

#[cfg(test)]
mod tests;
