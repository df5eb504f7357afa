//! What the verbs of distribution share: the project and its lock, registries with their logins, a plugin that was judged.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::value::Digest;
use trueup_host as host;

use super::distribution::SignerArgs;
use crate::bundled;
use crate::cli::Shell;
use crate::cli::again::quoted;
use crate::cli::arguments::RevisionArgs;
use crate::cli::ask;
use crate::cli::error::{CliError, Texts};
use crate::cli::exit::Exit;
use crate::cli::session::{failure, open};
use crate::config::credentials::Credentials;
use crate::config::lock::{self, Lock, Pin};
use crate::config::project::PluginRef;
use crate::engine::{Engine, folders, read_component, repository, runtime};
use crate::kit::project::{self as kit, PluginProject};
use crate::output::clean::clean;
use crate::output::style::{Style, Tone};
use crate::output::value::bytes;
use crate::private;
use crate::registry::{Asks, Cache, Keyring, Layout, Place, Policy, Reference, RegistryError, Signed, Wanted, verify_file};

impl From<RegistryError> for CliError {
    fn from(error: RegistryError) -> Self {
        let failure = Self::new(error.code(), error.text);
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<Box<Diagnostic>> for CliError {
    fn from(finding: Box<Diagnostic>) -> Self {
        let failure = Self::new(finding.code, finding.message);
        match finding.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The project of this folder, its files as they are now: the lock that is written lies beside them.
pub fn project(shell: &Shell<'_>) -> Result<Engine, CliError> {
    if shell.global.source.is_some() {
        return Err(CliError::usage("trueup.lock is written into a folder").hint("clone the project, and run this in it"));
    }
    open(shell, &RevisionArgs { rev: None, worktree: true })
}

/// Writes the lock of a project's folder: the whole new one, or the old one stands.
pub fn write_lock(folder: &Path, pins: &Lock) -> Result<(), CliError> {
    let path = folder.join(lock::FILE);
    let temporary = private::beside(&path);
    let written = fs::File::create_new(&temporary)
        .and_then(|mut file| {
            file.write_all(&pins.to_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, &path));
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        CliError::new(codes::LOCK, format!("`{}` cannot be written: {error}", path.display()))
    })
}

/// The operator's keys, or those that were named for this run.
pub fn keyring(signer: &SignerArgs) -> Result<Keyring, CliError> {
    if !signer.keys.is_empty() {
        return Ok(Keyring::of_files(&signer.keys)?);
    }
    Ok(Keyring::open(&folders().map_err(|it| failure(it, None))?.plugin_keys())?)
}

pub fn policy(signer: &SignerArgs, allow_unsigned: bool) -> Result<Policy, CliError> {
    let signed_for = signer.signed_for.as_ref().map(|it| it.trim_start_matches("oci://").to_owned());
    Ok(Policy { keys: keyring(signer)?, allow_unsigned, signed_for, pinned: false })
}

/// The registry of a reference, with the operator's login for it; or a bundle.
pub fn place(shell: &Shell<'_>, reference: &Reference, bundle: Option<&Path>) -> Result<Place, CliError> {
    if let Some(folder) = bundle {
        return Ok(Place::Layout(Layout::open(folder)?));
    }
    let named = shell.global.credentials.clone();
    let file = match &named {
        Some(file) => file.clone(),
        None => folders().map_err(|it| failure(it, None))?.credentials(),
    };
    let credentials = Credentials::open(&file, named.is_some()).map_err(CliError::from_diagnostics)?;
    Ok(repository(&credentials, reference)?)
}

pub fn cache() -> Result<Cache, CliError> {
    Ok(Cache::below(&folders().map_err(|it| failure(it, None))?.cache))
}

/// The component that a path means: itself, or what the plugin's project in that folder built.
///
/// # Errors
///
/// Where it is a folder without a plugin's project, or with one that is not built.
pub fn component_of(path: &Path) -> Result<PathBuf, CliError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let shown = path.to_string_lossy();
    if !path.join(kit::FILE).is_file() {
        let text = format!("`{}` is a folder, and no plugin's project: it has no `{}`", clean(&shown), kit::FILE);
        return Err(CliError::new(codes::PLUGIN_LOAD, text)
            .hint("name a component, which is a file, or the folder of a plugin's project; `trueup plugin new` begins one"));
    }
    let (project, _) = PluginProject::open(path).map_err(|(findings, bytes)| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        CliError::from_diagnostics(findings).texts(Texts::new(move |file| (file == kit::FILE).then(|| text.clone())))
    })?;
    let built = path.join(project.component());
    if built.is_file() {
        return Ok(built);
    }
    let text =
        format!("`{}` is a plugin's project, and the project is not built: there is no `{}`", clean(&shown), built.display());
    let build = if shown == "." { String::new() } else { format!(" {}", quoted(&shown)) };
    Err(CliError::new(codes::PLUGIN_LOAD, text).hint(format!("`trueup plugin build{build}` makes the component")))
}

/// What somebody may have meant by a text that is no file.
pub fn meant(text: &str) -> String {
    if bundled::find(text).is_some() {
        return format!("`{text}` is bundled: `plugin: {text}` in trueup.yaml is all that it needs");
    }
    match as_reference(text) {
        Some(reference) => format!("a reference begins with oci://: `{reference}`"),
        None => {
            "is the path right? `trueup plugin build` makes the component of a plugin's project; a reference begins with oci://"
                .to_owned()
        }
    }
}

/// The reference that a text is, with or without its scheme, where it looks like one.
pub fn as_reference(text: &str) -> Option<String> {
    let bare = text.strip_prefix("oci://").unwrap_or(text);
    let (first, rest) = bare.split_once('/').unwrap_or((bare, ""));
    let is_host = !first.is_empty() && !first.starts_with('.') && first.contains(['.', ':']) && !rest.is_empty();
    let is_one = text.starts_with("oci://") || (is_host && !text.ends_with(".wasm"));
    is_one.then(|| format!("oci://{}", clean(bare)))
}

/// The sandbox of this run.
pub fn sandbox() -> Result<host::Runtime, CliError> {
    runtime().map_err(|it| failure(it, None))
}

/// Compiles a component and has it describe itself, without any right.
pub async fn described(runtime: &host::Runtime, wasm: &[u8], name: &str) -> Result<host::Plugin, CliError> {
    runtime
        .load(wasm)
        .await
        .map_err(|error| CliError::from_chain(codes::PLUGIN_LOAD, &error))
        .map_err(|error| CliError { message: format!("`{name}`: {}", error.message), ..error })
}

/// A plugin that may be pinned: judged, described, not yet agreed to.
pub struct Candidate {
    /// As it is to stand after `plugin:`.
    pub reference: PluginRef,
    pub wasm: Vec<u8>,
    pub plugin: host::Plugin,
    pub signed: Option<Signed>,
    manifest: Option<Digest>,
}

impl Candidate {
    pub fn pin(&self) -> Pin {
        Pin {
            sha256: *self.plugin.digest(),
            manifest: self.manifest,
            asks: Some(Asks::of(self.plugin.manifest())),
            signed: self.signed.as_ref().map(|it| it.fingerprint),
        }
    }
}

/// Where a candidate comes from, and under whose signature.
pub struct Terms<'a> {
    pub bundle: Option<&'a Path>,
    pub signer: &'a SignerArgs,
    pub allow_unsigned: bool,
}

/// Finds what a person named: a path, or a reference.
pub async fn candidate(
    shell: &Shell<'_>,
    engine: &Engine,
    runtime: &host::Runtime,
    text: &str,
    terms: &Terms<'_>,
) -> Result<Candidate, CliError> {
    if text.starts_with("oci://") {
        let reference = Reference::parse(text)?;
        let policy = policy(terms.signer, terms.allow_unsigned)?;
        let place = place(shell, &reference, terms.bundle)?;
        let found = place.find(&Wanted { reference: &reference, policy: &policy }).await?;
        let plugin = described(runtime, &found.component, text).await?;
        return Ok(Candidate {
            reference: PluginRef::Oci(text.to_owned()),
            wasm: found.component,
            plugin,
            signed: found.signed,
            manifest: Some(found.image.digest),
        });
    }
    let failed = |error: io::Error| CliError::new(codes::PLUGIN_LOAD, format!("`{}`: {error}", clean(text)));
    let here = if Path::new(text).exists() { PathBuf::from(text) } else { engine.root.join(text) };
    let file = fs::canonicalize(component_of(&here)?).map_err(|error| failed(error).hint(meant(text)))?;
    let wasm = read_component(&file).map_err(failed)?;
    let keys = keyring(terms.signer)?;
    // Nobody needs to sign a file that lies in the project; a signature that is there is judged all the same.
    let signed = match verify_file(&file, &wasm, &keys) {
        Ok(signed) => Some(signed),
        Err(error) if terms.signer.keys.is_empty() => {
            // Nothing depends on it: said to whoever asks for more words.
            tracing::warn!("{error}");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let plugin = described(runtime, &wasm, text).await?;
    let written = match file.strip_prefix(&engine.root) {
        Ok(inside) => format!("./{}", inside.display()),
        Err(_) => file.display().to_string(),
    };
    Ok(Candidate { reference: PluginRef::Path(written), wasm, plugin, signed, manifest: None })
}

/// Name, digest, signer, kinds and rights, for people.
pub fn card(candidate: &Candidate, style: &Style) -> String {
    let (plugin, manifest) = (&candidate.plugin, candidate.plugin.manifest());
    let title = format!("{} {}", clean(&manifest.name), clean(&manifest.version));
    let mut out = format!("{}\n", style.paint(Tone::Strong, title));
    let _ = writeln!(out, "  plugin   {}", clean(candidate.reference.text()));
    let _ = writeln!(out, "  sha256   {}\n  size     {}", plugin.digest(), bytes(candidate.wasm.len() as u64));
    let signed = match (&candidate.signed, &candidate.reference) {
        (Some(signed), _) => clean(&signed.to_string()).into_owned(),
        (None, PluginRef::Oci(_)) => "by nobody you trust: the digest in trueup.lock is all that holds it".to_owned(),
        (None, _) => "no".to_owned(),
    };
    let _ = writeln!(out, "  signed   {signed}");
    let kinds: Vec<&str> = manifest.kinds.keys().map(String::as_str).collect();
    let _ = writeln!(out, "  kinds    {}", clean(&kinds.join(", ")));
    out.push_str(&rights(&Asks::of(manifest).words(), "  It asks to", "  It asks for nothing.\n"));
    out
}

/// Rights, a line each.
pub fn rights(words: &[String], head: &str, none: &str) -> String {
    match words {
        [] => none.to_owned(),
        words => {
            let lines: String = words.iter().map(|it| format!("    {}\n", clean(it))).collect();
            format!("{head}\n{lines}")
        }
    }
}

/// Whether a person agrees, or did so on the command line.
pub fn agreed(shell: &mut Shell<'_>, given: bool, question: &str, otherwise: &str) -> Result<bool, CliError> {
    if given {
        return Ok(true);
    }
    if shell.output.format.is_object() || !shell.output.interactive {
        let text = "nothing was done, as nobody is here to agree";
        return Err(CliError::new(codes::USAGE, text).exit(Exit::Failed).hint(format!("{otherwise} goes on without asking")));
    }
    if ask::confirm(shell.output, question) {
        return Ok(true);
    }
    shell.output.error("Nothing was done.\n");
    Ok(false)
}

/// Providers that name a plugin, by alias, each once.
pub fn users<'a>(engine: &'a Engine, text: &str) -> Vec<&'a str> {
    let all = engine.project.environments.values().flat_map(|it| &it.providers).chain(&engine.project.providers);
    let mut users: Vec<&str> = all.filter(|(_, it)| it.plugin.text() == text).map(|(alias, _)| &**alias).collect();
    users.sort_unstable();
    users.dedup();
    users
}

/// A private key, cosign's with the password of its variable.
pub fn signing_key(path: &Path) -> Result<crate::registry::SigningKey, CliError> {
    Ok(crate::registry::SigningKey::read(path, || std::env::var("COSIGN_PASSWORD").ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_no_file_is_told_what_was_meant() {
        for (text, want) in [
            ("file", "`plugin: file` in trueup.yaml"),
            ("ghcr.io/acme/tickets:1.0", "`oci://ghcr.io/acme/tickets:1.0`"),
            ("localhost:5000/x", "`oci://localhost:5000/x`"),
            ("./nope.wasm", "is the path right? `trueup plugin build`"),
            ("plugins.d/nope.wasm", "is the path right?"),
            ("../a.b/c", "is the path right?"),
        ] {
            assert!(meant(text).contains(want), "{text}: {}", meant(text));
        }
    }
}
