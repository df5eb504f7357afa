//! What may stand after `trueup plugin`.

use clap::{Args, Subcommand};

use super::distribution;

/// Plugins and what they ask for
#[derive(Args, Debug)]
pub struct PluginArgs {
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Bundled plugins, and those of the project
    List,
    /// Kinds, fields and rights of one plugin
    Show(ShowArgs),
    Add(distribution::AddArgs),
    Upgrade(distribution::UpgradeArgs),
    Remove(distribution::RemoveArgs),
    Publish(distribution::PublishArgs),
    Sign(distribution::SignArgs),
    Verify(distribution::VerifyArgs),
    Mirror(distribution::MirrorArgs),
    Bundle(distribution::BundleArgs),
}

/// Which plugin to show.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  trueup plugin show file\n  trueup plugin show ./my.wasm")]
pub struct ShowArgs {
    /// Name of a bundled plugin, alias of a provider, or path of a component
    #[arg(value_name = "PLUGIN")]
    pub plugin: String,
    /// One kind only, with all its fields
    #[arg(value_name = "KIND")]
    pub kind: Option<String>,
}
