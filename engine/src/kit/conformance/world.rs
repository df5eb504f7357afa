//! One check's surroundings: a server of its own, empty directories, and the objects to test with.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use trueup_core::address::Address;
use trueup_core::manifest::{Hints, Kind};
use trueup_core::schema;
use trueup_core::value::{Digest, Json, Path, Segment, blob, json};
use trueup_host::grant::{DirGrant, Given, intersect};
use trueup_host::{self as host, Credential, Declared, HostRule, Scheme, Secret, Slot};

use super::fields::{Field, fields, others, with};
use super::server::{Scratch, Server, free_port};
use super::watch::{Shared, Usage, Watch};
use crate::engine::now_ms;
use crate::kit::project::{self, Test};
use crate::regular;
use crate::seal::{Sealer, escape};

/// Bytes of a file that an object names.
const MAX_BLOB: u64 = 16 << 20;

/// A component and what it is tested against.
pub struct Bench {
    pub plugin: host::Plugin,
    /// The component itself.
    pub wasm: Vec<u8>,
    pub test: Test,
    /// The plugin's project.
    pub folder: PathBuf,
    /// Rights used in all worlds of the run.
    pub usage: Shared,
    /// What is another in each world: port and folder of those that were opened since somebody asked.
    own: Mutex<Vec<String>>,
}

impl Bench {
    pub fn new(plugin: host::Plugin, wasm: Vec<u8>, test: Test, folder: PathBuf) -> Self {
        Self { plugin, wasm, test, folder, usage: Shared::default(), own: Mutex::default() }
    }

    /// Ports and folders of the worlds that were opened since this was asked last.
    pub(super) fn worlds(&self) -> Vec<String> {
        std::mem::take(&mut *self.own.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was used so far.
    pub fn usage(&self) -> Usage {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// See the module. The server ends and the directories go with the value.
pub struct World<'a> {
    pub bench: &'a Bench,
    /// With the port of this world.
    pub test: Test,
    pub watch: Arc<Watch>,
    pub sealer: Arc<Sealer>,
    /// What was said, where somebody wants to know.
    pub said: Mutex<Option<Vec<String>>>,
    /// Every document that was sent for each object: what of it is a secret, and what is not.
    pub sent: Mutex<HashMap<Address, Vec<Arc<Json>>>>,
    /// What was last applied to each object.
    pub applied: Mutex<HashMap<Address, Arc<Json>>>,
    grant: host::Grant,
    server: Option<Server>,
    _scratch: Scratch,
}

/// One object that a declaration stands for.
#[derive(Clone, Debug)]
pub struct Want {
    pub kind: Arc<Kind>,
    /// `metadata.name` of its declaration.
    pub name: String,
    /// The declaration, secrets as markers; of one that became several objects, the rendered document.
    pub declared: Json,
    /// Other values for its fields, by the author.
    pub change: Json,
    pub address: Address,
    /// As rendered, secrets as markers.
    pub desired: Arc<Json>,
}

impl Want {
    /// For messages.
    pub fn title(&self) -> String {
        format!("{} `{}`", self.kind.name, self.address.local())
    }
}

impl<'a> World<'a> {
    /// Starts the server, makes the directories, works the rights out.
    ///
    /// # Errors
    ///
    /// In words.
    pub async fn open(bench: &'a Bench) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the test cannot be set up: {error}");
        let scratch = Scratch::new().map_err(failed)?;
        let port = free_port().map_err(failed)?;
        let own = [scratch.path().to_string_lossy().into_owned(), port.to_string()];
        bench.own.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
        let test = bench.test.at_port(port);
        let server = match &test.server {
            Some(server) => Some(Server::start(server, &bench.folder, port, scratch.path()).await?),
            None => None,
        };
        let mut dirs = Vec::new();
        for (index, text) in test.dirs.iter().enumerate() {
            let path = scratch.path().join(format!("dir-{index}"));
            fs::create_dir(&path).map_err(failed)?;
            dirs.push(DirGrant { text: text.clone(), path });
        }
        let given = Given {
            hosts: test.hosts.clone(),
            dirs,
            dns: test.dns.clone(),
            credentials: slots(&test)?,
            secrets: test.secrets.keys().cloned().collect(),
            reads: Some(test.reads.clone()),
        };
        let manifest = bench.plugin.manifest();
        let judged = schema::check(&test.config, &manifest.config)?;
        if let Some(finding) = judged.first() {
            return Err(format!("`test.config` does not fit the manifest: {}", finding.message));
        }
        let grant = intersect(&manifest.name, manifest, &test.config, &given, None).map_err(|refused| refused.join("; "))?;
        let sealer = Arc::new(Sealer::new(Digest::of(b"trueup conformance").0));
        let blobs = blobs(bench)?;
        let watch = Watch::new(bench.usage.clone(), sealer.clone(), blobs, test.reads.clone(), test.dirs.clone());
        let (watch, said, sent, applied) = (Arc::new(watch), Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self { bench, test, watch, sealer, said, sent, applied, grant, server, _scratch: scratch })
    }

    /// The provider as a new process would have it: no warm instance, nothing in its cache.
    pub fn provider(&self) -> host::Provider {
        let manifest = self.bench.plugin.manifest();
        self.bench.plugin.provider(host::ProviderSettings {
            alias: manifest.name.as_str().into(),
            config: self.test.config.clone(),
            grant: self.grant.clone(),
            services: self.watch.clone(),
            parallel: manifest.parallel,
        })
    }

    pub fn info(&self) -> host::CallInfo {
        host::CallInfo { now_ms: now_ms(), budget_ms: 0, trace: String::new() }
    }

    /// The end of what the server said, for a message.
    pub fn server_told(&self) -> String {
        self.server.as_ref().map(Server::told).unwrap_or_default()
    }

    /// All objects of `plugin.yaml`, rendered, those first that others need.
    ///
    /// # Errors
    ///
    /// In words.
    pub async fn wants(&self, provider: &host::Provider) -> Result<Vec<Want>, String> {
        let mut all: Vec<Want> = Vec::new();
        for object in &self.test.objects {
            let kinds = &self.bench.plugin.manifest().kinds;
            let kind = kinds.get(&object.kind).ok_or_else(|| {
                let names: Vec<&str> = kinds.keys().map(String::as_str).collect();
                format!("`test.objects` has a `{}`; the plugin's kinds are {}", object.kind, names.join(", "))
            })?;
            let declared =
                self.document(kind, &object.spec).map_err(|error| format!("{} `{}`: {error}", object.kind, object.name))?;
            let change = self
                .document(kind, &object.change)
                .map_err(|error| format!("`change` of {} `{}`: {error}", object.kind, object.name))?;
            let change = change.get("spec").cloned().unwrap_or_default();
            all.extend(self.render(provider, kind, &object.name, &declared, &change).await?);
        }
        if all.is_empty() {
            return Err("the objects of `test.objects` render to none".to_owned());
        }
        Ok(all)
    }

    /// Renders one declaration and judges it, as an engine does.
    ///
    /// # Errors
    ///
    /// In words, also where the schema or the plugin refuses the declaration.
    pub async fn render(
        &self,
        provider: &host::Provider,
        kind: &Arc<Kind>,
        name: &str,
        declared: &Json,
        change: &Json,
    ) -> Result<Vec<Want>, String> {
        let title = format!("{} `{name}`", kind.name);
        if let Some(finding) = schema::findings(declared, kind).first() {
            return Err(format!("{title} is not valid: {}", finding.message));
        }
        self.render_unjudged(provider, kind, name, declared, change).await
    }

    /// As [`World::render`], of what the schema is not asked about: a document that was rendered already.
    ///
    /// # Errors
    ///
    /// In words, where the plugin refuses it.
    pub async fn render_unjudged(
        &self,
        provider: &host::Provider,
        kind: &Arc<Kind>,
        name: &str,
        declared: &Json,
        change: &Json,
    ) -> Result<Vec<Want>, String> {
        let title = format!("{} `{name}`", kind.name);
        let address = natural(provider.alias(), kind, name, declared);
        let doc = Arc::new(self.sealer.to_handles(declared));
        let mut answers =
            provider.render(&self.info(), vec![Declared { address, doc }]).await.map_err(|error| error.to_string())?;
        let rendered = answers.pop().ok_or("`render` answered nothing")?;
        if let Some(finding) = rendered.findings.iter().find(|it| it.severity == trueup_core::diagnostic::Severity::Error) {
            return Err(format!("the plugin refuses {title}: {}", finding.summary));
        }
        let alone = rendered.objects.len() == 1;
        let mut left = rendered.objects;
        let mut wants = Vec::with_capacity(left.len());
        // Those first that nothing is left to come before; the host has refused circles.
        while !left.is_empty() {
            let names: Vec<Address> = left.iter().map(|it| it.address.clone()).collect();
            let (ready, rest): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|it| !it.after.iter().any(|after| names.contains(after)));
            if ready.is_empty() {
                return Err(format!("the objects of {title} wait for each other"));
            }
            for object in ready {
                let of = &object.address.scope.kind;
                let kind = self
                    .bench
                    .plugin
                    .manifest()
                    .kinds
                    .get(&**of)
                    .ok_or_else(|| format!("{title} renders to a `{of}`, which is no kind"))?;
                let desired = self.sealer.from_handles(&object.doc);
                let own = alone && kind.name == *of && of == &natural(provider.alias(), kind, name, declared).scope.kind;
                wants.push(Want {
                    kind: kind.clone(),
                    name: name.to_owned(),
                    declared: if own { declared.clone() } else { desired.clone() },
                    change: if own { change.clone() } else { json!({}) },
                    address: object.address,
                    desired: Arc::new(desired),
                });
            }
            left = rest;
        }
        Ok(wants)
    }

    /// The same declaration with another document; none where it is not valid, or is about several objects.
    pub async fn varied(&self, provider: &host::Provider, want: &Want, name: &str, declared: &Json) -> Option<Want> {
        let mut wants = self.render(provider, &want.kind, name, declared, &want.change).await.ok()?;
        let one = wants.pop()?;
        (wants.is_empty() && one.kind.name == want.kind.name).then_some(one)
    }

    /// The same object with another value in one of its plain fields, the first that has one and can change in place.
    pub async fn changed(&self, provider: &host::Provider, want: &Want) -> Option<Want> {
        let hints = &want.kind.hints;
        let fixed = [&hints.immutable, &hints.write_only, &hints.sensitive];
        for field in fields(&want.kind).into_iter().filter(|it| !fixed.iter().any(|fixed| Hints::covers(fixed, &it.path))) {
            if let Some(other) = self.changed_at(provider, want, &field).await {
                return Some(other);
            }
        }
        None
    }

    /// The same object with another value in this field, if there is a valid one.
    pub async fn changed_at(&self, provider: &host::Provider, want: &Want, field: &Field) -> Option<Want> {
        let given = json!({ "spec": want.change });
        for value in others(field, field.path.get(&want.declared), field.path.get(&given)) {
            let declared = with(&want.declared, &field.path, value);
            if let Some(other) = self.varied(provider, want, &want.name, &declared).await
                && other.address == want.address
                && other.desired != want.desired
            {
                return Some(other);
            }
        }
        None
    }

    /// Further objects like this one, in its scope, under keys of their own.
    ///
    /// # Errors
    ///
    /// Where no field makes another key.
    pub async fn siblings(&self, provider: &host::Provider, want: &Want, count: usize) -> Result<Vec<Want>, String> {
        let fields = want.declared.get("spec").and_then(Json::as_object);
        let texts: Vec<Path> = fields
            .into_iter()
            .flatten()
            .filter(|(_, value)| value.is_string())
            .map(|(name, _)| Path(vec![Segment::Key("spec".to_owned()), Segment::Key(name.clone())]))
            .filter(|path| !want.kind.hints.blobs.contains(path))
            .collect();
        // The name first, then each field, a number behind it and before it.
        let mut ways: Vec<(Option<&Path>, bool)> = vec![(None, true)];
        ways.extend(
            want.kind.hints.key.iter().filter(|it| texts.contains(it)).flat_map(|it| [(Some(it), true), (Some(it), false)]),
        );
        ways.extend(texts.iter().flat_map(|it| [(Some(it), true), (Some(it), false)]));
        for way in ways {
            let mut made = Vec::with_capacity(count);
            for number in 1..=count {
                let Some(other) = self.sibling(provider, want, way, number).await else { break };
                made.push(other);
            }
            if made.len() == count {
                return Ok(made);
            }
        }
        Err(format!(
            "no other {} can be made out of {}: neither its name nor a text of its `spec` makes another key in the same scope",
            want.kind.name,
            want.title()
        ))
    }

    async fn sibling(
        &self,
        provider: &host::Provider,
        want: &Want,
        (field, behind): (Option<&Path>, bool),
        number: usize,
    ) -> Option<Want> {
        let mut declared = want.declared.clone();
        let numbered = |text: &str| if behind { format!("{text}-{number}") } else { format!("n{number}-{text}") };
        let mut name = want.name.clone();
        match field {
            None => name = numbered(&name),
            Some(path) => {
                let text = path.get(&declared)?.as_str()?.to_owned();
                crate::seal::set(&mut declared, path, numbered(&text).into());
            }
        }
        let other = self.varied(provider, want, &name, &declared).await?;
        (other.address.scope == want.address.scope && other.address.key != want.address.key).then_some(other)
    }

    /// `{"spec": …}` with secrets as markers and files as digests.
    fn document(&self, kind: &Kind, spec: &Json) -> Result<Json, String> {
        let mut document = json!({ "spec": self.filled(spec)? });
        for hint in &kind.hints.blobs {
            let Some(name) = hint.get(&document).and_then(Json::as_str).map(str::to_owned) else { continue };
            let bytes = read_blob(self.bench, &name)?;
            crate::seal::set(&mut document, hint, blob(&Digest::of(&bytes), bytes.len() as u64));
        }
        Ok(document)
    }

    /// Texts with their `${{ secret('name') }}` taken in.
    fn filled(&self, value: &Json) -> Result<Json, String> {
        Ok(match value {
            Json::String(text) if text.contains("${{") => self.composed(text)?,
            Json::Array(items) => Json::Array(items.iter().map(|it| self.filled(it)).collect::<Result<_, _>>()?),
            Json::Object(fields) => {
                let each = |(key, it): (&String, &Json)| Ok((key.clone(), self.filled(it)?));
                Json::Object(fields.iter().map(each).collect::<Result<_, String>>()?)
            }
            plain => plain.clone(),
        })
    }

    fn composed(&self, text: &str) -> Result<Json, String> {
        let wrong = || format!("`{text}`: objects of `plugin.yaml` take `${{{{ secret('name') }}}}` and no other expression");
        let (mut out, mut rest, mut first) = (String::new(), text, None);
        while let Some((before, after)) = rest.split_once("${{") {
            out.push_str(before);
            let (inner, after) = after.split_once("}}").ok_or_else(wrong)?;
            let name = inner.trim().strip_prefix("secret(").and_then(|it| it.strip_suffix(')')).ok_or_else(wrong)?.trim();
            let name = name.strip_prefix(['\'', '"']).and_then(|it| it.strip_suffix(['\'', '"'])).ok_or_else(wrong)?;
            out.push_str(self.test.secrets.get(name).ok_or_else(|| format!("there is no `{name}` in `test.secrets`"))?);
            first.get_or_insert_with(|| name.to_owned());
            rest = after;
        }
        out.push_str(rest);
        Ok(first.map_or_else(|| Json::from(out.as_str()), |name| self.sealer.take(&name, out.clone())))
    }
}

/// The address before `render`: from the fields that the schema marks, else the name.
fn natural(alias: &str, kind: &Kind, name: &str, document: &Json) -> Address {
    let text = |path: &Option<Path>| path.as_ref().and_then(|it| it.get(document)).and_then(Json::as_str);
    let (scope, key) = (text(&kind.hints.scope), text(&kind.hints.key));
    Address::new(alias, &kind.name, scope.unwrap_or_default(), key.unwrap_or(name))
}

/// Credentials of the test, good for all of its hosts and DNS servers.
fn slots(test: &Test) -> Result<BTreeMap<String, Slot>, String> {
    let origins = test.hosts.iter().map(|it| HostRule::parse(it)).collect::<Result<Vec<_>, _>>()?;
    let slot = |(name, credential): (&String, &project::Credential)| {
        let secret = |text: &String| Secret::new(text.clone());
        let scheme = match credential {
            project::Credential::Bearer(token) => Scheme::Bearer(secret(token)),
            project::Credential::Basic { user, password } => Scheme::Basic { user: user.clone(), password: secret(password) },
            project::Credential::Header(headers) => {
                let (name, value) = headers.iter().next().ok_or_else(|| format!("the credential `{name}` has no header"))?;
                Scheme::Header { name: name.clone(), value: secret(value) }
            }
        };
        let (name, origins) = (name.clone(), origins.clone());
        let credential =
            Arc::new(Credential { name: name.clone(), origins, servers: Vec::new(), scheme, ca_pem: None, base: None });
        Ok((name, Slot { read: credential.clone(), write: credential }))
    };
    test.credentials.iter().map(slot).collect()
}

/// Files that objects name where their kinds take files, by digest.
fn blobs(bench: &Bench) -> Result<HashMap<Digest, Arc<[u8]>>, String> {
    let mut all = HashMap::new();
    for object in &bench.test.objects {
        let Some(kind) = bench.plugin.manifest().kinds.get(&object.kind) else { continue };
        let documents = [json!({ "spec": object.spec }), json!({ "spec": object.change })];
        for hint in &kind.hints.blobs {
            for name in documents.iter().filter_map(|it| hint.get(it)).filter_map(Json::as_str) {
                let bytes = read_blob(bench, name)?;
                all.insert(Digest::of(&bytes), bytes.into());
            }
        }
    }
    Ok(all)
}

fn read_blob(bench: &Bench, name: &str) -> Result<Vec<u8>, String> {
    let path = bench.folder.join(name);
    regular::read(&path, MAX_BLOB).map_err(|error| format!("the file `{name}`, which an object names, cannot be read: {error}"))
}

/// A path below the document as an RFC 6901 pointer; list positions do not occur.
pub fn pointer(path: &Path) -> String {
    path.0.iter().map(|it| if let Segment::Key(key) = it { format!("/{}", escape(key)) } else { String::new() }).collect()
}
