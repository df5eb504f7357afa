//! From a component's bytes to a plugin that can be called: compiled once per digest, described once per digest.

use std::future::Future;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trueup_core::manifest::Manifest;
use trueup_core::value::{Digest, Json};
use wasmtime::component::{Component, InstancePre};

use crate::error::{CallError, LoadError};
use crate::grant::Grant;
use crate::pool::{Indices, Instance};
use crate::records::{Exports, Phase};
use crate::runtime::Runtime;
use crate::services::NoServices;
use crate::state::{Context, State};

/// A manifest larger than this is refused.
const MAX_MANIFEST: usize = 4 << 20;

/// The contract's package, and the version of it that this host speaks.
const CONTRACT: &str = "trueup:provider/";
const VERSION: &str = "0.1.0";

/// A compiled plugin with its manifest. Cheap to clone.
#[derive(Clone)]
pub struct Plugin(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) runtime: Runtime,
    pub(crate) digest: Digest,
    pub(crate) pre: InstancePre<State>,
    pub(crate) indices: Indices,
    pub(crate) manifest: Arc<Manifest>,
    manifest_text: Arc<str>,
    size: u64,
    imports: Vec<String>,
    exported: Vec<String>,
    exports: Exports,
}

/// What is kept beside the compiled plugin, so that `describe` runs once per digest.
#[derive(Serialize, Deserialize)]
struct Facts {
    format: u32,
    size: u64,
    manifest: String,
}

impl Runtime {
    /// Compiles a component, or takes it from the cache, and reads its manifest.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]; none of them comes from a call that could have had an effect.
    pub async fn load(&self, wasm: &[u8]) -> Result<Plugin, LoadError> {
        self.load_by_digest(&Digest::of(wasm), || Ok(wasm.to_vec())).await
    }

    /// As [`Runtime::load`], but `bytes` is only asked where the digest was never compiled on this machine.
    ///
    /// # Errors
    ///
    /// Also fails with [`LoadError::Bytes`] where `bytes` does, and with [`LoadError::Digest`] where it gives other bytes.
    pub async fn load_by_digest(
        &self,
        digest: &Digest,
        bytes: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> Result<Plugin, LoadError> {
        let code = format!("{digest}-{}.cwasm", self.0.compatibility);
        let facts = format!("{digest}.facts");
        let mut size = None;
        let component = match self.0.sealed.get(&code).and_then(|payload| self.deserialize(&payload).ok()) {
            Some(component) => component,
            None => {
                let wasm = bytes().map_err(LoadError::Bytes)?;
                size = u64::try_from(wasm.len()).ok();
                self.compile(digest, wasm, &code).await?
            }
        };
        let kind = component.component_type();
        let imports: Vec<String> = kind.imports(&self.0.engine).map(|(name, _)| name.to_owned()).collect();
        let exported: Vec<String> = kind.exports(&self.0.engine).map(|(name, _)| name.to_owned()).collect();
        imports.iter().chain(&exported).try_for_each(|it| speaks(it))?;
        let pre = self.0.linker.instantiate_pre(&component).map_err(|err| link_error(&err))?;
        let indices = Indices::new(&pre).map_err(|err| LoadError::Export(format!("{err:#}")))?;
        let known = self.0.sealed.get(&facts).and_then(|payload| serde_json::from_slice::<Facts>(&payload).ok());
        let known = match known.filter(|it| it.format == 1) {
            Some(known) => known,
            None => {
                let manifest = self.describe(digest, &pre, &indices).await?;
                let size = size.unwrap_or_default();
                let known = Facts { format: 1, size, manifest };
                // Parsed below; kept only where it parses.
                if parse(&known.manifest).is_ok() && size > 0 {
                    self.remember(&facts, &serde_json::to_vec(&known).unwrap_or_default());
                }
                known
            }
        };
        let manifest = Arc::new(parse(&known.manifest)?);
        let exports = indices.exports().offered(&manifest);
        let (digest, size, manifest_text) = (*digest, known.size, known.manifest.into());
        let runtime = self.clone();
        Ok(Plugin(Arc::new(Inner { runtime, digest, pre, indices, manifest, manifest_text, size, imports, exported, exports })))
    }

    async fn compile(&self, digest: &Digest, wasm: Vec<u8>, entry: &str) -> Result<Component, LoadError> {
        let (bytes, limit) = (u64::try_from(wasm.len()).unwrap_or(u64::MAX), self.0.limits.component);
        if bytes > limit {
            return Err(LoadError::TooLarge { bytes, limit });
        }
        match wasm.get(..8) {
            Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => {}
            Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => {
                return Err(LoadError::Invalid("it is a core module; build a component (target wasm32-wasip2)".to_owned()));
            }
            _ => return Err(LoadError::Invalid("it is no WebAssembly component".to_owned())),
        }
        let got = Digest::of(&wasm);
        if got != *digest {
            return Err(LoadError::Digest { want: digest.to_string(), got: got.to_string() });
        }
        let engine = self.0.engine.clone();
        let compiled = tokio::task::spawn_blocking(move || engine.precompile_component(&wasm)).await;
        let code = match compiled {
            Ok(Ok(code)) => code,
            Ok(Err(err)) => return Err(LoadError::Invalid(format!("{err:#}"))),
            Err(err) => return Err(LoadError::Invalid(format!("the compiler failed: {err}"))),
        };
        self.remember(entry, &code);
        self.deserialize(&code).map_err(|err| LoadError::Host(format!("a compiled plugin cannot be loaded: {err:#}")))
    }

    /// Keeps an entry; a full disk costs only the next start its time.
    fn remember(&self, entry: &str, payload: &[u8]) {
        if let Err(err) = self.0.sealed.put(entry, payload) {
            tracing::warn!(entry, "the plugin cache cannot be written: {err}");
        }
    }

    #[expect(unsafe_code, reason = "native code can only be loaded by an unsafe call")]
    fn deserialize(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: `code` is what this engine's `precompile_component` made: it comes either straight from it, or from an
        // entry of the cache folder whose MAC, under a key that only this user can read, was right for this very name.
        unsafe { Component::deserialize(&self.0.engine, code) }
    }

    async fn describe(&self, digest: &Digest, pre: &InstancePre<State>, indices: &Indices) -> Result<String, LoadError> {
        let name: Arc<str> = digest.to_string().chars().take(12).collect::<String>().into();
        let context = Arc::new(Context::new(name, Grant::default(), Arc::new(NoServices), self.0.limits.clone()));
        let limit = self.0.limits.call;
        let run = async {
            let slot = self.0.budget.slot().await;
            let mut instance = Instance::start(pre, indices, context, Phase::Pure, limit, slot).await?;
            instance.describe(limit).await
        };
        let text = bounded(run).await.map_err(|err| LoadError::Describe(Box::new(err)))?;
        if text.len() > MAX_MANIFEST {
            return Err(LoadError::Manifest(format!("it is longer than {MAX_MANIFEST} bytes")));
        }
        Ok(text)
    }
}

/// Names the future's output once, so that the block above may use `?`.
async fn bounded(run: impl Future<Output = Result<String, CallError>>) -> Result<String, CallError> {
    run.await
}

fn parse(text: &str) -> Result<Manifest, LoadError> {
    let json: Json = serde_json::from_str(text).map_err(|err| LoadError::Manifest(format!("it is no JSON: {err}")))?;
    Manifest::parse(&json).map_err(LoadError::Manifest)
}

/// Refuses an interface of the contract in a version whose calls could mean something else: before 1.0 every second number is
/// one of its own, and the third adds at most, so that a missing addition is told as the import that it is.
fn speaks(interface: &str) -> Result<(), LoadError> {
    let Some((_, theirs)) = interface.strip_prefix(CONTRACT).and_then(|it| it.split_once('@')) else { return Ok(()) };
    let track = |version: &str| -> Option<(u64, u64)> {
        let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u64>);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(if major > 0 { (major, 0) } else { (0, minor) })
    };
    let (ours, their) = (track(VERSION), track(theirs));
    if ours == their { Ok(()) } else { Err(LoadError::Version { theirs: theirs.to_owned(), ours: VERSION, newer: their > ours }) }
}

/// The linker's error names the import that nothing answers to.
fn link_error(err: &wasmtime::Error) -> LoadError {
    let text = format!("{err:#}");
    match text.split('`').nth(1) {
        Some(name) if text.contains("import") => LoadError::Import(name.to_owned()),
        _ => LoadError::Invalid(text),
    }
}

impl Plugin {
    /// What the plugin says about itself.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.0.manifest
    }

    /// The manifest as the plugin wrote it.
    pub fn manifest_text(&self) -> &str {
        &self.0.manifest_text
    }

    /// SHA-256 of the component.
    pub fn digest(&self) -> &Digest {
        &self.0.digest
    }

    /// Bytes of the component.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Names of the interfaces that the component imports, versions included.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// Names of the interfaces that the component exports, versions included.
    pub fn exported(&self) -> &[String] {
        &self.0.exported
    }

    /// Which optional interfaces it exports, and says in its manifest that they do anything.
    pub fn exports(&self) -> Exports {
        self.0.exports
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({} {})", self.0.manifest.name, self.0.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_is_spoken_is_the_contracts_own() {
        let wit = include_str!("../../../wit/provider.wit");
        assert!(wit.contains(&format!("package trueup:provider@{VERSION};")));
    }

    #[test]
    fn a_plugin_of_another_version_is_refused_in_one_sentence_with_both_versions_and_a_cure() {
        let check = |name: &str, want: &str| {
            let told = speaks(name).map_or_else(|it| it.to_string(), |()| String::new());
            assert_eq!(told, want, "{name}");
        };
        check("trueup:provider/http@0.1.0", "");
        check("trueup:provider/http@0.1.7", "");
        check("wasi:io/poll@0.2.9", "");
        let newer = "use a newer trueup, or an older release of the plugin";
        let older = "use a newer release of the plugin, or build it again with this version's SDK";
        for (version, cure) in [("0.2.0", newer), ("1.0.0", newer), ("0.12.3", newer), ("0.0.9", older), ("0.0.1-rc.1", older)] {
            let want = format!("the plugin is built for version {version} of the contract and this trueup speaks 0.1.0: {cure}");
            check(&format!("trueup:provider/lifecycle@{version}"), &want);
        }
    }
}
