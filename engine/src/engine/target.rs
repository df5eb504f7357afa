//! What a provider acts on: one text for each place, so that two providers that reach the same one are known for it, and one whose
//! settings lead elsewhere is noticed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::manifest::Manifest;
use trueup_core::value::{Json, canonical, json};
use trueup_host as host;
use trueup_host::grant::{DirGrant, Slot};
use url::Url;

use super::Engine;
use crate::config::project::{Environment, ProviderConfig};
use crate::config::trust::resolve;

/// Directories of a provider, resolved.
pub(super) fn dirs(engine: &Engine, config: &ProviderConfig) -> Vec<DirGrant> {
    config.dirs.iter().map(|text| DirGrant { text: text.clone(), path: resolve(&engine.root, Path::new(text)) }).collect()
}

/// What a provider acts on.
pub(super) struct Target {
    /// One text for each place, however it is spelt.
    pub text: String,
    /// The directories among it.
    roots: Vec<PathBuf>,
}

/// What a provider acts on: its plugin's name, and where that reaches. The same for every spelling of a path: two environments
/// must not own one file because one of them says `./site` and the other `site`. What lies beside the state inside the project is
/// named from the project's folder, as both move together. Where neither a setting nor a right says where, the credentials do.
pub(super) fn target(manifest: &Manifest, config: &ProviderConfig, slots: &BTreeMap<String, Slot>, engine: &Engine) -> Target {
    let dirs = dirs(engine, config);
    let place = Place { root: &engine.root, moves: engine.state().starts_with(&engine.root), dirs: &dirs };
    let mut settings = told(manifest, config);
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
    let marked = !manifest.target.is_empty() && settings.as_object().is_some_and(|it| !it.is_empty());
    if let Json::Object(fields) = &mut settings
        && !marked
        && roots.is_empty()
        && config.hosts.is_empty()
        && config.dns.is_empty()
    {
        fields.extend(bases(config, slots).map(|(name, base)| (format!("slot:{name}"), Json::from(base))));
    }
    Target { text: canonical(&json!([manifest.name, settings, shown, hosts])), roots }
}

/// The settings that say what is acted on.
fn told(manifest: &Manifest, config: &ProviderConfig) -> Json {
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
    settings
}

/// Where each credential leads, as its origin or kubeconfig says; the name of one that nobody has opened.
fn bases<'a>(config: &'a ProviderConfig, slots: &'a BTreeMap<String, Slot>) -> Box<dyn Iterator<Item = (&'a str, String)> + 'a> {
    if slots.is_empty() {
        let named = config.credential.iter().map(|it| ("", it)).chain(config.credentials.iter().map(|(name, it)| (&**name, it)));
        return Box::new(named.map(|(name, it)| (name, format!("credential {}", it.read))));
    }
    Box::new(slots.iter().filter_map(|(name, slot)| Some((&**name, server(slot.read.base()?.as_str())))))
}

/// A provider whose directory lies inside that of another one with the same plugin, in whatever environment: a file there would
/// have two addresses, and so two owners.
pub(super) fn nested(
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
        for theirs in target(manifest, it, &BTreeMap::new(), engine).roots {
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
