//! What may stand after `trueup plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    /// Whether a component keeps the contract: run it against the server of its plugin.yaml
    Test(TestArgs),
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

/// What to test, and where to tell.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup plugin test                        the plugin of this folder, as `trueup plugin build` left it\n  trueup plugin test ./tickets --only pages --only unchanged\n  trueup plugin test --report report.json --badge badge.svg"
)]
pub struct TestArgs {
    /// Folder with the plugin.yaml
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// The component, or the name of a bundled plugin; default: what the project builds
    #[arg(long, value_name = "PATH")]
    pub component: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write a badge as SVG
    #[arg(long, value_name = "FILE")]
    pub badge: Option<PathBuf>,
    /// Run this check only; may be given several times
    #[arg(long, value_name = "CHECK")]
    pub only: Vec<String>,
}
