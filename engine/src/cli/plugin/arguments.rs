//! What may stand after `trueup plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::kit::project::Language;

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
    /// Begin a plugin of your own
    New(NewArgs),
    /// Build the plugin of a folder, and check that it loads
    Build(BuildArgs),
    /// Build on each save, and show the plan of the example
    Dev(DevArgs),
    Add(distribution::AddArgs),
    Upgrade(distribution::UpgradeArgs),
    Remove(distribution::RemoveArgs),
    Publish(distribution::PublishArgs),
    Sign(distribution::SignArgs),
    Verify(distribution::VerifyArgs),
    Mirror(distribution::MirrorArgs),
    Bundle(distribution::BundleArgs),
    /// Whether a component keeps the contract: run it against the server of its plugin.yaml
    Test(TestArgs),
}

/// Which plugin to show.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup plugin show file\n  trueup plugin show ./my.wasm\n  trueup plugin show .               what the plugin's project in this folder built"
)]
pub struct ShowArgs {
    /// Name of a bundled plugin, alias of a provider, path of a component or of a plugin's project
    #[arg(value_name = "PLUGIN")]
    pub plugin: String,
    /// One kind only, with all its fields
    #[arg(value_name = "KIND")]
    pub kind: Option<String>,
}

/// What to begin.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup plugin new tickets --lang python\n  trueup plugin new tickets --lang rust plugins/tickets"
)]
pub struct NewArgs {
    /// Name of the plugin: a-z, 0-9 and -
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Language to write it in
    #[arg(long = "lang", value_name = "LANGUAGE", value_enum)]
    pub language: LanguageName,
    /// Folder to make; default: the name
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// The languages that there are SDKs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LanguageName {
    Rust,
    Python,
    Js,
    Go,
}

impl From<LanguageName> for Language {
    fn from(name: LanguageName) -> Self {
        match name {
            LanguageName::Rust => Self::Rust,
            LanguageName::Python => Self::Python,
            LanguageName::Js => Self::Js,
            LanguageName::Go => Self::Go,
        }
    }
}

/// What to build.
#[derive(Args, Debug)]
pub struct BuildArgs {
    /// Folder of the plugin's project, the one with plugin.yaml; default: this one
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// What to watch.
#[derive(Args, Debug)]
#[command(
    after_help = "The server of plugin.yaml is started at the port that example/trueup.yaml names. Ctrl-C ends both.\n\nExamples:\n  trueup plugin dev                  plan on each save\n  trueup plugin dev --apply          apply on each save, to that server"
)]
pub struct DevArgs {
    /// Folder of the plugin's project, the one with plugin.yaml; default: this one
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Apply the example instead of planning it
    #[arg(long)]
    pub apply: bool,
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
