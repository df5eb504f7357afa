//! `trueup plugin mirror` and `bundle`: plugins with their signatures, byte for byte, to elsewhere.

use serde_json::json;

use super::distribution::{BundleArgs, MirrorArgs};
use super::supply::{place, policy};
use crate::cli::Shell;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::output::clean::clean;
use crate::registry::{Found, Layout, Place, Reference, Wanted, copy};

pub async fn mirror(arguments: &MirrorArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let prefix = arguments.to.trim_end_matches('/');
    let policy = policy(&arguments.signer, arguments.allow_unsigned)?;
    let mut copied = Vec::new();
    for text in &arguments.references {
        let reference = Reference::parse(text)?;
        let (_, rest) = text.trim_start_matches("oci://").split_once('/').unwrap_or_default();
        let to_name = Reference::parse(&format!("{prefix}/{rest}"))?;
        let from = place(shell, &reference, None)?;
        let mut to = place(shell, &to_name, None)?;
        let found = from.find(&Wanted { reference: &reference, policy: &policy }).await?;
        copy(&from, &reference, &found, &mut to, &to_name).await?;
        copied.push((to_name.to_string(), found));
    }
    told("trueup.plugin-mirror/1", &copied, shell)
}

pub async fn bundle(arguments: &BundleArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let policy = policy(&arguments.signer, arguments.allow_unsigned)?;
    let mut copied = Vec::new();
    for text in &arguments.references {
        let reference = Reference::parse(text)?;
        let from = place(shell, &reference, None)?;
        let found = from.find(&Wanted { reference: &reference, policy: &policy }).await?;
        // The folder is made once there is something to put into it.
        let mut to = Place::Layout(Layout::create(&arguments.folder)?);
        copy(&from, &reference, &found, &mut to, &reference).await?;
        copied.push((reference.to_string(), found));
    }
    told("trueup.plugin-bundle/1", &copied, shell)
}

fn told(format: &str, copied: &[(String, Found)], shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    if shell.output.format.is_object() {
        let plugins: Vec<_> = copied
            .iter()
            .map(|(name, it)| {
                let key = it.signed.as_ref().map(|it| it.fingerprint.to_string());
                json!({"plugin": name, "manifest": it.image.digest.to_string(), "sha256": it.image.component().to_string(), "signed": key})
            })
            .collect();
        shell.output.object(&json!({"format": format, "plugins": plugins}))?;
        return Ok(Exit::Fine);
    }
    for (name, found) in copied {
        let signed =
            found.signed.as_ref().map_or_else(|| "not signed by a trusted key".to_owned(), |it| format!("signed by {it}"));
        shell.output.print(&format!("{}\n  sha256:{}, {}\n", clean(name), found.image.component(), clean(&signed)));
    }
    Ok(Exit::Fine)
}
