//! An environment's providers: plugins loaded by digest, rights worked out, configuration judged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::manifest::Manifest;
use trueup_core::schema;
use trueup_core::value::{Digest, Json, Map, json};
use trueup_host as host;
use trueup_host::grant::{self, Given, Slot};
use url::Url;

use super::target::{dirs, nested, target};
use super::{Bound, Engine, Problem, Providers, Reading, folders};
use crate::blobs::BlobTable;
use crate::bundled;
use crate::config::credentials::Credentials;
use crate::config::lock::Pin;
use crate::config::project::{CredentialNames, Environment, PluginRef, ProviderConfig};
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
        let mut acts = target(plugin.manifest(), config, &given.credentials, engine);
        if let Some(recorded) = engine.tape().and_then(Tape::player).and_then(|it| it.target(alias)) {
            acts.text = recorded.to_owned();
        }
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
            let slot = Slot { read: credentials.credential(&names.read)?, write: credentials.credential(&names.write)? };
            match (slot.read.base(), slot.write.base()) {
                (Some(read), Some(write)) if read != write => Err(astray(names)),
                _ => Ok(slot),
            }
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

/// A plan of one system is not applied to another.
fn astray(names: &CredentialNames) -> Diagnostic {
    let text = format!("the credential `{}` leads to another server than `{}`, which is to write there", names.read, names.write);
    Diagnostic::error(codes::CREDENTIALS, text).hint("both must name the same server in credentials.yaml, or in their kubeconfig")
}

/// Digest and settings as written.
fn as_written(plugin: &host::Plugin, config: &ProviderConfig) -> Json {
    json!({ "plugin": plugin.digest().to_string(), "config": config.config, "dirs": config.dirs, "hosts": config.hosts, "dns": config.dns, "secrets": config.secrets })
}
