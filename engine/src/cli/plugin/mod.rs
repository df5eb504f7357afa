//! `trueup plugin …`: the authors' kit. One file for each verb.

mod add;
mod arguments;
mod build;
mod carry;
mod dev;
mod differences;
mod distribution;
mod list;
mod new;
mod publish;
mod remove;
pub(super) mod show;
mod sign;
pub(super) mod supply;
mod test;
mod upgrade;

use std::path::Path;

use trueup_core::diagnostic::codes;
use trueup_core::value::Digest;
use trueup_host as host;

use self::arguments::Verb;
use super::Shell;
use super::error::CliError;
use super::exit::Exit;
use crate::bundled;
use crate::config::project::PluginRef;
use crate::engine::{Engine, Reading, load_plugin, read_component};

pub use self::arguments::PluginArgs;

pub async fn run(arguments: &PluginArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match &arguments.verb {
        Verb::List => list::run(shell),
        Verb::Show(it) => show::run(it, shell).await,
        Verb::New(it) => new::run(it, shell),
        Verb::Build(it) => build::run(it, shell).await,
        Verb::Dev(it) => dev::run(it, shell).await,
        Verb::Add(it) => add::run(it, shell).await,
        Verb::Upgrade(it) => upgrade::run(it, shell).await,
        Verb::Remove(it) => remove::run(it, shell),
        Verb::Publish(it) => publish::run(it, shell).await,
        Verb::Sign(it) => sign::sign(it, shell).await,
        Verb::Verify(it) => sign::verify(it, shell).await,
        Verb::Mirror(it) => carry::mirror(it, shell).await,
        Verb::Bundle(it) => carry::bundle(it, shell).await,
        Verb::Test(it) => test::run(it, shell).await,
    }
}

/// A bundled plugin by name, a provider's by its alias, or a component by its path.
async fn load(name: &str, engine: Option<&Engine>) -> Result<host::Plugin, CliError> {
    let failed = |error: String| CliError::new(codes::PLUGIN_LOAD, format!("`{name}`: {error}"));
    let runtime = supply::sandbox()?;
    let provider = engine.and_then(|it| it.project.providers.get(name).map(|provider| (it, provider)));
    let name_of_bundled = match provider.map(|(_, it)| &it.plugin) {
        Some(PluginRef::Bundled(name)) => name.as_str(),
        _ => name,
    };
    if let Some(found) = bundled::find(name_of_bundled) {
        let digest = Digest::parse(found.sha256).ok_or_else(|| failed("it has no digest".to_owned()))?;
        let loaded = runtime.load_by_digest(&digest, || Ok(found.wasm.to_vec())).await;
        return loaded.map_err(|error| failed(error.to_string()));
    }
    let wasm = match provider {
        Some((engine, provider)) => match &provider.plugin {
            PluginRef::Path(path) => engine.component(path).map_err(failed)?,
            // From the cache or not at all: nobody trusted the project to have anything fetched.
            other => {
                let loaded = load_plugin(engine, &runtime, other, Reading::Documents).await;
                return loaded.map_err(|it| CliError::from_diagnostics(vec![*it]));
            }
        },
        None => read_component(&supply::component_of(Path::new(name))?).map_err(|error| {
            let names: Vec<&str> = bundled::ALL.iter().map(|it| it.name).collect();
            failed(error.to_string()).hint(match supply::as_reference(name) {
                Some(reference) => {
                    format!("`trueup plugin add {reference}` shows what lies in a registry before it takes that in")
                }
                None => format!("give a bundled plugin ({}), the alias of a provider, or a path", names.join(", ")),
            })
        })?,
    };
    runtime.load(&wasm).await.map_err(|error| failed(error.to_string()))
}
