//! `trueup plugin sign` and `verify`: whose word a plugin is.

use std::path::Path;

use serde_json::json;
use trueup_core::diagnostic::codes;
use trueup_core::value::Digest;

use super::distribution::{SignArgs, VerifyArgs};
use super::supply::{keyring, place, policy, signing_key};
use crate::cli::Shell;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::engine::read_component;
use crate::output::clean::clean;
use crate::registry::{Pushed, Reference, SigningKey, sign_file, verify_file};

pub async fn sign(arguments: &SignArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let key = match (&arguments.key, &arguments.new_key) {
        (Some(path), _) => signing_key(path)?,
        (None, Some(path)) => {
            let key = SigningKey::create(path)?;
            let fingerprint = key.public().fingerprint();
            let shown = path.display().to_string();
            let text = format!(
                "A new key: {0}, which stays with you, and {0}.pub for others\n  fingerprint {fingerprint}\n",
                clean(&shown)
            );
            shell.output.note(&text);
            key
        }
        (None, None) => return Err(CliError::usage("give a key with --key, or draw one with --new-key")),
    };
    let fingerprint = key.public().fingerprint().to_string();
    let (signed, digest, changed) = match arguments.what.as_deref() {
        None => (None, None, true),
        Some(text) if text.starts_with("oci://") => {
            let reference = Reference::parse(text)?;
            let mut place = place(shell, &reference, None)?;
            let image = place.image(&reference).await?;
            let pushed = place.sign(&reference, &image.digest, &key).await?;
            (Some(text.to_owned()), Some(image.digest), pushed == Pushed::New)
        }
        Some(text) => {
            let path = Path::new(text);
            let wasm = component(path)?;
            let written = sign_file(path, &wasm, &key)?;
            (Some(written.display().to_string()), Some(Digest::of(&wasm)), true)
        }
    };
    if shell.output.format.is_object() {
        let digest = digest.map(|it| it.to_string());
        let object =
            json!({"format": "trueup.plugin-sign/1", "signed": signed, "sha256": digest, "key": fingerprint, "changed": changed});
        shell.output.object(&object)?;
        return Ok(Exit::Fine);
    }
    if let (Some(signed), Some(digest)) = (signed, digest) {
        let word = if changed { "signed" } else { "was signed already" };
        shell.output.print(&format!("{}: {word}\n  sha256:{digest} by key {fingerprint}\n", clean(&signed)));
    }
    Ok(Exit::Fine)
}

pub async fn verify(arguments: &VerifyArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let text = arguments.what.as_str();
    let (signed, digest) = if text.starts_with("oci://") {
        let reference = Reference::parse(text)?;
        let place = place(shell, &reference, None)?;
        let image = place.image(&reference).await?;
        let signed = place.signer(&reference, &image.digest, &policy(&arguments.signer, false)?).await?;
        (signed, image.digest)
    } else {
        let path = Path::new(text);
        let wasm = component(path)?;
        (verify_file(path, &wasm, &keyring(&arguments.signer)?)?, Digest::of(&wasm))
    };
    if shell.output.format.is_object() {
        let object = json!({
            "format": "trueup.plugin-verify/1", "plugin": text, "sha256": digest.to_string(), "signer": signed.name,
            "key": signed.fingerprint.to_string(),
        });
        shell.output.object(&object)?;
    } else {
        let line = format!("{}: signed by {}, key {}\n  sha256:{digest}\n", text, signed.name, signed.fingerprint);
        shell.output.print(&line.lines().map(|it| format!("{}\n", clean(it))).collect::<String>());
    }
    Ok(Exit::Fine)
}

fn component(path: &Path) -> Result<Vec<u8>, CliError> {
    read_component(path).map_err(|error| {
        let text = format!("`{}`: {error}", path.display());
        CliError::new(codes::PLUGIN_LOAD, text).hint("name a component, which is a file; a reference begins with oci://")
    })
}
