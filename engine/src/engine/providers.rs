//! An environment's providers: plugins loaded by digest, rights worked out, configuration judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::manifest::Manifest;
use trueup_core::schema;
use trueup_core::value::{Digest, Json, Map, canonical, json};
use trueup_host as host;
use trueup_host::grant::{self, DirGrant, Given, Slot};
use url::Url;

use super::{Bound, Engine, Problem, Providers, Reading, folders};
use crate::blobs::BlobTable;
use crate::bundled;
use crate::config::credentials::Credentials;
use crate::config::lock::Pin;
use crate::config::project::{CredentialNames, Environment, PluginRef, ProviderConfig};
use crate::config::trust::resolve;
use crate::recording::Tape;
use crate::registry::{self, Asks, Cache, Keyring, Policy, Reference};
use crate::seal::Sealer;
use crate::services::{Denials, ProviderServices};
use crate::store::cache::CacheFile;

/// Bytes of a plugin's file.
const MAX_PLUGIN: u64 = 64 << 20;

/// Providers, and what of them goes into digests.
pub struct Loaded {
    pub providers: Providers,
    /// By alias: digest of the plugin and settings as written, never made absolute.
    pub fixed: Json,
}

/// Loads every provider of an environment.
///
/// # Errors
///
/// All findings of all providers at once.
pub async fn load(
    engine: &Engine,
    environment: &Environment,
    reading: Reading,
    sealer: &Arc<Sealer>,
    blobs: &Arc<BlobTable>,
    denials: &Arc<Denials>,
) -> Result<Loaded, Problem> {
    let runtime = runtime()?;
    // A replay sends nothing, and so has nothing to send.
    let replays = engine.tape().is_some_and(|it| it.player().is_some());
    let credentials = if reading == Reading::World && !replays { Some(engine.credentials()?) } else { None };
    let beside = Arc::new(CacheFile::beside(engine.state()));
    let cache = (reading == Reading::World).then(|| beside.clone());
    let (mut providers, mut fixed, mut findings) = (Providers::new(), Map::new(), Vec::new());
    for (alias, config) in &environment.providers {
        let plugin = match load_plugin(engine, &runtime, &config.plugin, reading).await {
            Ok(plugin) => plugin,
            Err(finding) => {
                let message = format!("provider `{alias}`: {}", finding.message);
                findings.push(Diagnostic { message, ..*finding }.at(config.location.clone()));
                continue;
            }
        };
        if let Err(errors) = judge(alias, config, plugin.manifest()) {
            findings.extend(errors);
            continue;
        }
        let given = match give(engine, config, plugin.manifest(), credentials.as_ref()) {
            Ok(given) => given,
            Err(error) => {
                findings.push(error);
                continue;
            }
        };
        let grant = match reading {
            Reading::Documents => Ok(grant::Grant::default()),
            Reading::World => grant::intersect(alias, plugin.manifest(), &config.config, &given, None),
        };
        let grant = match grant {
            Ok(grant) => grant,
            Err(refused) => {
                findings
                    .extend(refused.into_iter().map(|text| Diagnostic::error(codes::DENIED, text).at(config.location.clone())));
                continue;
            }
        };
        let acts = target(plugin.manifest(), config, engine);
        if let Some(finding) = nested(engine, environment, alias, config, plugin.manifest(), &acts) {
            findings.push(finding);
            continue;
        }
        let cache_name = format!("{}/{alias}/{}/{}", environment.name, plugin.digest(), Digest::of_json(&config.config));
        let services = ProviderServices {
            blobs: Some(blobs.clone()),
            sealer: sealer.clone(),
            // What a plugin keeps may follow from secrets that it was granted: then it does not outlive the run.
            cache: cache.clone().filter(|_| config.secrets.is_empty()),
            cache_name: cache_name.clone(),
            denials: denials.clone(),
            tape: engine.tape().cloned(),
        };
        let settings = host::ProviderSettings {
            alias: alias.clone(),
            config: config.config.clone(),
            grant,
            services: Arc::new(services),
            parallel: plugin.manifest().parallel,
        };
        let provider = plugin.provider(settings);
        fixed.insert(alias.to_string(), as_written(&plugin, config));
        let (target, secrets) = (acts.text.into(), config.secrets.as_slice().into());
        let manifest = plugin.manifest().clone();
        let bound = Bound { alias: alias.clone(), manifest, target, secrets, provider };
        providers.insert(alias.clone(), bound);
    }
    if findings.is_empty() { Ok(Loaded { providers, fixed: Json::Object(fixed) }) } else { Err(Problem::Findings(findings)) }
}

/// The sandbox, with its cache in the user's folder.
pub fn runtime() -> Result<host::Runtime, Problem> {
    started(host::Runtime::new)
}

/// As [`runtime`], one that counts what plugins execute.
pub fn counting_runtime() -> Result<host::Runtime, Problem> {
    started(host::Runtime::counting)
}

fn started(start: fn(host::RuntimeOptions) -> Result<host::Runtime, host::LoadError>) -> Result<host::Runtime, Problem> {
    let cache_dir = folders()?.cache.join("compiled");
    start(host::RuntimeOptions { cache_dir, limits: host::Limits::default() })
        .map_err(|error| Problem::Findings(vec![Diagnostic::error(codes::PLUGIN_LOAD, error.to_string())]))
}

/// A plugin by what `plugin:` says.
///
/// # Errors
///
/// A finding without a place: no such plugin, not the pinned one, or not one that can be loaded.
pub async fn load_plugin(
    engine: &Engine,
    runtime: &host::Runtime,
    reference: &PluginRef,
    reading: Reading,
) -> Result<host::Plugin, Box<Diagnostic>> {
    let unloadable = |text: String| Box::new(Diagnostic::error(codes::PLUGIN_LOAD, text));
    if let Some(player) = engine.tape().and_then(Tape::player) {
        match (player.plugin(reference.text()), reference) {
            (Some(recorded), _) => {
                let loaded = runtime.load_by_digest(&Digest::of(recorded), || Ok(recorded.to_vec())).await;
                return loaded.map_err(|error| unloadable(error.to_string()));
            }
            (None, PluginRef::Bundled(_)) => {}
            (None, _) => {
                let text =
                    format!("the recording does not hold `{}`, and a replay takes nothing from elsewhere", reference.text());
                return Err(unloadable(text));
            }
        }
    }
    match reference {
        PluginRef::Bundled(name) => {
            let bundled = bundled::find(name).ok_or_else(|| {
                let names: Vec<&str> = bundled::ALL.iter().map(|it| it.name).collect();
                let text = format!("there is no bundled plugin `{name}`; there is {}", names.join(", "));
                Box::new(Diagnostic::error(codes::PLUGIN_LOAD, text).hint("a file is named by a path that begins with ./"))
            })?;
            let digest =
                Digest::parse(bundled.sha256).ok_or_else(|| unloadable("the bundled plugin has no digest".to_owned()))?;
            runtime.load_by_digest(&digest, || Ok(bundled.wasm.to_vec())).await.map_err(|error| unloadable(error.to_string()))
        }
        PluginRef::Path(path) => {
            let bytes = engine.component(path).map_err(unloadable)?;
            let digest = Digest::of(&bytes);
            engine.pins.check(reference, &digest)?;
            let plugin = runtime.load_by_digest(&digest, || Ok(bytes)).await.map_err(|error| unloadable(error.to_string()))?;
            engine.pins.check_asks(reference, &Asks::of(plugin.manifest()))?;
            Ok(plugin)
        }
        PluginRef::Oci(text) => {
            let pin = engine.pins.pin(reference)?;
            let folders = folders().map_err(|_| unloadable("nothing says where your cache lies: set HOME".to_owned()))?;
            let cache = Cache::below(&folders.cache);
            // What was compiled before needs no bytes, and what was fetched before no network.
            let plugin = match runtime.load_by_digest(&pin.sha256, || cache.read(&pin.sha256)).await {
                Err(host::LoadError::Bytes(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                    let bytes = fetch(engine, &cache, text, pin, reading).await?;
                    runtime.load_by_digest(&pin.sha256, || Ok(bytes)).await
                }
                loaded => loaded,
            };
            let plugin = plugin.map_err(|error| unloadable(error.to_string()))?;
            engine.pins.check_asks(reference, &Asks::of(plugin.manifest()))?;
            Ok(plugin)
        }
    }
}

/// Fetches what the lock pins. Reading documents asks no server: what a project that nobody trusts names is not connected to.
async fn fetch(engine: &Engine, cache: &Cache, text: &str, pin: &Pin, reading: Reading) -> Result<Vec<u8>, Box<Diagnostic>> {
    let reference = Reference::parse(text)?;
    if reading == Reading::Documents {
        let text = format!("`{text}` was not fetched to this machine yet, and reading documents fetches nothing");
        return Err(Box::new(
            Diagnostic::error(codes::REGISTRY, text).hint("`trueup plan` fetches it, once the project is trusted"),
        ));
    }
    let place = engine.place_of(&reference)?;
    // The digest in Git is what holds it. Where the key that signed it is trusted here too, its signature is judged again.
    let keys = Keyring::open(&folders().map_err(|_| Diagnostic::error(codes::REGISTRY, "set HOME"))?.plugin_keys())?;
    let keys = pin.signed.and_then(|it| keys.only(&it)).unwrap_or_default();
    let policy = Policy { allow_unsigned: keys.is_empty(), keys, pinned: true, ..Policy::default() };
    Ok(registry::fetch(cache, &place, &reference, &pin.sha256, pin.manifest, &policy).await?)
}

impl Engine {
    /// The repository of a reference, with the credential that the operator grants for its origin.
    ///
    /// # Errors
    ///
    /// Where the credentials are wrong, or the reference leads to where no registry is.
    pub fn place_of(&self, reference: &Reference) -> Result<registry::Place, Box<Diagnostic>> {
        let first = |problem: Problem| match problem {
            Problem::Findings(found) => found.into_iter().next(),
            _ => None,
        };
        let credentials = self
            .credentials()
            .map_err(|it| first(it).unwrap_or_else(|| Diagnostic::error(codes::CREDENTIALS, "the credentials cannot be read")))?;
        repository(&credentials, reference)
    }

    /// The bytes of a plugin that is loaded and not bundled.
    ///
    /// # Errors
    ///
    /// Where they cannot be read any more.
    pub fn plugin_bytes(&self, reference: &PluginRef, digest: &Digest) -> Result<Vec<u8>, String> {
        let bytes = match reference {
            PluginRef::Path(path) => self.component(path)?,
            PluginRef::Oci(name) => {
                let folders = folders().map_err(|_| "nothing says where your cache lies: set HOME".to_owned())?;
                let cached = Cache::below(&folders.cache).read(digest);
                cached.map_err(|_| format!("`{name}` is no longer in the cache; `trueup plugin add` fetches it again"))?
            }
            PluginRef::Bundled(name) => return Err(format!("`{name}` is no file")),
        };
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(format!("`{}` changed meanwhile", reference.text())) }
    }

    /// The bytes of a plugin that is named by its path. Where nothing is checked out, a relative one is a file of the revision that
    /// the settings come from.
    ///
    /// # Errors
    ///
    /// Says where it was looked for, and what is wrong with it.
    pub fn component(&self, path: &str) -> Result<Vec<u8>, String> {
        if self.place.source.is_none() || Path::new(path).is_absolute() {
            let file = self.root.join(path);
            return read_component(&file).map_err(|error| format!("{}: {error}", file.display()));
        }
        let entry = self.protected.find(path).map_err(|error| error.to_string())?;
        let entry = entry.ok_or_else(|| {
            format!("`{path}` is not committed at {}: commit it, or give its absolute path here", self.protected.revision())
        })?;
        Ok(self.protected.read(&entry, MAX_PLUGIN).map_err(|error| error.to_string())?.to_vec())
    }
}

/// The repository of a reference, with what these credentials say of its origin.
///
/// # Errors
///
/// As [`Engine::place_of`].
pub fn repository(credentials: &Credentials, reference: &Reference) -> Result<registry::Place, Box<Diagnostic>> {
    let origin = Url::parse(&reference.origin()).map_err(|error| Diagnostic::error(codes::REGISTRY, error.to_string()))?;
    let credential = credentials.registry(&origin)?;
    let remote = registry::Remote::new(reference, credential, registry::Patience::default())?;
    Ok(registry::Place::Remote(Box::new(remote)))
}

/// The bytes of a plugin's file.
///
/// # Errors
///
/// Where it cannot be read, is too large, or no regular file: a project may name what never ends.
pub fn read_component(file: &Path) -> std::io::Result<Vec<u8>> {
    crate::regular::read(file, MAX_PLUGIN)
}

/// Holds `config` against the manifest's schema.
fn judge(alias: &str, config: &ProviderConfig, manifest: &Manifest) -> Result<(), Vec<Diagnostic>> {
    let wrong = |message: String, hint: Option<String>| Diagnostic {
        hint,
        ..Diagnostic::error(codes::PROJECT, format!("`config` of provider `{alias}`: {message}")).at(config.location.clone())
    };
    match schema::check(&config.config, &manifest.config) {
        Ok(findings) if findings.is_empty() => Ok(()),
        Ok(findings) => Err(findings.into_iter().map(|it| wrong(it.message, it.hint)).collect()),
        Err(text) => Err(vec![wrong(format!("the plugin's schema cannot be used: {text}"), None)]),
    }
}

/// What `trueup.yaml` gives, resolved.
fn give(
    engine: &Engine,
    config: &ProviderConfig,
    manifest: &Manifest,
    credentials: Option<&Credentials>,
) -> Result<Given, Diagnostic> {
    let dirs = dirs(engine, config);
    let mut slots = BTreeMap::new();
    if let Some(credentials) = credentials {
        let only = manifest.credentials.keys().next().filter(|_| manifest.credentials.len() == 1);
        let named = config.credential.iter().filter_map(|it| Some((only?.clone(), it)));
        let slot = |names: &CredentialNames| -> Result<Slot, Diagnostic> {
            Ok(Slot { read: credentials.credential(&names.read)?, write: credentials.credential(&names.write)? })
        };
        for (name, names) in named.chain(config.credentials.iter().map(|(name, it)| (name.clone(), it))) {
            slots.insert(name, slot(names).map_err(|error| error.at(config.location.clone()))?);
        }
    }
    Ok(Given {
        hosts: config.hosts.clone(),
        dirs,
        dns: config.dns.clone(),
        credentials: slots,
        secrets: config.secrets.iter().cloned().collect(),
        reads: config.plugin.is_pinned_by_lock().then(|| config.reads.clone()),
    })
}

/// Digest and settings as written.
fn as_written(plugin: &host::Plugin, config: &ProviderConfig) -> Json {
    json!({ "plugin": plugin.digest().to_string(), "config": config.config, "dirs": config.dirs, "hosts": config.hosts, "dns": config.dns, "secrets": config.secrets })
}

/// Directories of a provider, resolved.
fn dirs(engine: &Engine, config: &ProviderConfig) -> Vec<DirGrant> {
    config.dirs.iter().map(|text| DirGrant { text: text.clone(), path: resolve(&engine.root, Path::new(text)) }).collect()
}

/// What a provider acts on.
struct Target {
    /// One text for each place, however it is spelt.
    text: String,
    /// The directories among it.
    roots: Vec<PathBuf>,
}

/// What a provider acts on: its plugin's name, and where that reaches. The same for every spelling of a path: two environments
/// must not own one file because one of them says `./site` and the other `site`. What lies beside the state inside the project is
/// named from the project's folder, as both move together.
fn target(manifest: &Manifest, config: &ProviderConfig, engine: &Engine) -> Target {
    let dirs = dirs(engine, config);
    let place = Place { root: &engine.root, moves: engine.state().starts_with(&engine.root), dirs: &dirs };
    let mut settings = config.config.clone();
    if let Json::Object(fields) = &mut settings
        && !manifest.target.is_empty()
    {
        fields.retain(|name, _| manifest.target.contains(name));
        for name in &manifest.target {
            let default = manifest.config.pointer(&format!("/properties/{name}/default")).cloned();
            if let Some(default) = default.filter(|_| !fields.contains_key(name)) {
                fields.insert(name.clone(), default);
            }
        }
    }
    let mut roots = Vec::new();
    place.in_texts(&mut settings, &mut roots);
    let mut hosts: Vec<String> = config.hosts.iter().chain(&config.dns).map(|it| server(&it.to_lowercase())).collect();
    // What a setting says is what is acted on; a right says it only where no setting does.
    let granted: Vec<PathBuf> = dirs.iter().filter(|_| roots.is_empty()).map(|it| it.path.clone()).collect();
    if hosts.iter().any(|it| names(&settings, it)) {
        hosts.clear();
    }
    hosts.sort_unstable();
    let shown: Vec<String> = granted.iter().map(|it| place.shown(it)).collect();
    roots.extend(granted);
    Target { text: canonical(&json!([manifest.name, settings, shown, hosts])), roots }
}

/// A provider whose directory lies inside that of another one with the same plugin, in whatever environment: a file there would
/// have two addresses, and so two owners.
fn nested(
    engine: &Engine,
    environment: &Environment,
    alias: &str,
    config: &ProviderConfig,
    manifest: &Manifest,
    acts: &Target,
) -> Option<Diagnostic> {
    let all = engine.project.environments.values().flat_map(|of| of.providers.iter().map(move |(alias, it)| (of, &**alias, it)));
    let others = all.filter(|(of, other, it)| it.plugin == config.plugin && (of.name != environment.name || *other != alias));
    for (of, other, it) in others {
        for theirs in target(manifest, it, engine).roots {
            let inside = |one: &Path, two: &Path| one != two && one.starts_with(two);
            let Some(ours) = acts.roots.iter().find(|ours| inside(ours, &theirs) || inside(&theirs, ours)) else { continue };
            let text = format!(
                "the provider `{alias}` acts on `{}`, and `{other}` of the environment `{}` on `{}`: one lies inside the other, and \
                 what is there would have two owners",
                ours.display(),
                of.name,
                theirs.display()
            );
            let hint = "give both the same directory and tell their objects apart by paths, or move one of the two";
            return Some(Diagnostic::error(codes::PROJECT, text).at(config.location.clone()).hint(hint));
        }
    }
    None
}

/// How real paths are written in a target.
struct Place<'a> {
    root: &'a Path,
    /// The project's folder moves with its state.
    moves: bool,
    dirs: &'a [DirGrant],
}

impl Place<'_> {
    fn shown(&self, path: &Path) -> String {
        match path.strip_prefix(self.root) {
            Ok(inside) if self.moves => format!("./{}", inside.display()),
            _ => path.display().to_string(),
        }
    }

    /// Puts real paths in place of texts that lead into a granted directory, and adds them to `found`.
    fn in_texts(&self, settings: &mut Json, found: &mut Vec<PathBuf>) {
        match settings {
            Json::String(text) if text.contains("://") => *text = server(text),
            Json::String(text) => {
                let path = resolve(self.root, Path::new(text));
                if self.dirs.iter().any(|it| path.starts_with(&it.path)) {
                    *text = self.shown(&path);
                    found.push(path);
                }
            }
            Json::Array(items) => items.iter_mut().for_each(|it| self.in_texts(it, found)),
            Json::Object(fields) => fields.values_mut().for_each(|it| self.in_texts(it, found)),
            _ => {}
        }
    }
}

/// One spelling of a server: lower case, with its port, without a final slash.
fn server(text: &str) -> String {
    if let Ok(server) = host::DnsServer::parse(text) {
        return server.to_string();
    }
    let Ok(url) = Url::parse(text) else { return text.to_owned() };
    let Some(host) = url.host_str() else { return text.to_owned() };
    let port = url.port_or_known_default().map(|it| format!(":{it}")).unwrap_or_default();
    let query = url.query().map(|it| format!("?{it}")).unwrap_or_default();
    format!("{}://{}{port}{}{query}", url.scheme(), host.to_lowercase(), url.path().trim_end_matches('/'))
}

/// Whether any text, in the spelling of [`server`], is of this origin.
fn names(settings: &Json, origin: &str) -> bool {
    match settings {
        Json::String(text) => text.strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?'])),
        Json::Array(items) => items.iter().any(|it| names(it, origin)),
        Json::Object(fields) => fields.values().any(|it| names(it, origin)),
        _ => false,
    }
}
