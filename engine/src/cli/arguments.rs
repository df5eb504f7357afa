//! The command line as people type it. Doc comments are the help texts.
//!
//! Owns names and shapes only; what a verb does stands in its own module. Every option that makes sense for a whole
//! shell session or CI job can be given as `TRUEUP_…`.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};

use crate::output::Format;
use crate::output::plan::Show;
use crate::output::style::ColorChoice;

/// Keep real infrastructure true to Git: files, DNS, clusters, clouds, anything with a plugin
#[derive(Debug, Parser)]
#[command(
    name = "trueup",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    max_term_width = 100,
    subcommand_value_name = "COMMAND",
    after_help = "Examples:\n  trueup demo                        see it work, in a new folder under the temporary directory\n  trueup plan -e prod                review what would change\n\n`trueup help COMMAND` says more, `trueup help TU0123` explains an error; `trueup help codes` lists them.\nTopics: `trueup help expressions`, `trueup help credentials`."
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that every verb takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Run in this folder; default: the nearest parent with a trueup.yaml
    #[arg(short = 'C', value_name = "DIR", global = true, env = "TRUEUP_DIR", hide_env = true, help_heading = "Global options")]
    pub directory: Option<PathBuf>,
    /// Take the project from this Git repository (https://…, a path, file://…)
    #[arg(long, value_name = "URL", global = true, env = "TRUEUP_SOURCE", hide_env = true, help_heading = "Global options")]
    pub source: Option<String>,
    /// Folder of the project inside --source
    #[arg(long, value_name = "DIR", global = true, env = "TRUEUP_PATH", hide_env = true, help_heading = "Global options")]
    pub path: Option<String>,
    /// Environment; may be left out where the project has one only
    #[arg(
        short,
        long = "env",
        value_name = "NAME",
        global = true,
        env = "TRUEUP_ENV",
        hide_env = true,
        help_heading = "Global options"
    )]
    pub environment: Option<String>,
    /// State file; default: .trueup/state.db in the project
    #[arg(long, value_name = "FILE", global = true, env = "TRUEUP_STATE", hide_env = true, help_heading = "Global options")]
    pub state: Option<PathBuf>,
    /// Credentials; default: credentials.yaml in the user's configuration folder
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        env = "TRUEUP_CREDENTIALS",
        hide_env = true,
        help_heading = "Global options"
    )]
    pub credentials: Option<PathBuf>,
    /// Grant what the project asks for, for this run
    #[arg(long, global = true, env = "TRUEUP_TRUST", hide_env = true, value_parser = FalseyValueParser::new(), help_heading = "Global options")]
    pub trust: bool,
    /// Format of the result
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        global = true,
        env = "TRUEUP_OUTPUT",
        hide_env = true,
        help_heading = "Global options"
    )]
    pub output: Format,
    /// Colours
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        global = true,
        env = "TRUEUP_COLOR",
        hide_env = true,
        help_heading = "Global options"
    )]
    pub color: ColorChoice,
    /// Results and errors only
    #[arg(short, long, global = true, env = "TRUEUP_QUIET", hide_env = true, value_parser = FalseyValueParser::new(), help_heading = "Global options")]
    pub quiet: bool,
    /// Say more; twice: also what plugins log
    #[arg(short, long, action = clap::ArgAction::Count, global = true, help_heading = "Global options")]
    pub verbose: u8,
    /// Never ask
    #[arg(long, global = true, env = "TRUEUP_NO_INPUT", hide_env = true, value_parser = FalseyValueParser::new(), help_heading = "Global options")]
    pub no_input: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Init(InitArgs),
    Demo(DemoArgs),
    Trust(TrustArgs),
    Plan(PlanArgs),
    Apply(ApplyArgs),
    Destroy(DestroyArgs),
    Adopt(AdoptArgs),
    Forget(ForgetArgs),
    Resolve(ResolveArgs),
    Status(StatusArgs),
    Get(GetArgs),
    Why(WhyArgs),
    Explain(ExplainArgs),
    Schema(SchemaArgs),
    History(HistoryArgs),
    Validate(ValidateArgs),
    Render(RenderArgs),
    Replay(super::replay::ReplayArgs),
    Plugin(super::plugin::PluginArgs),
    Completions(CompletionsArgs),
    Doctor(DoctorArgs),
    Version(VersionArgs),
    Help(HelpArgs),
}

/// Which revision is looked at.
#[derive(Args, Clone, Debug, Default)]
pub struct RevisionArgs {
    /// Branch, tag or commit; default: HEAD, or the remote's default branch
    #[arg(long, value_name = "REV", env = "TRUEUP_REV", hide_env = true)]
    pub rev: Option<String>,
    /// Take uncommitted files too
    #[arg(long, conflicts_with = "rev", env = "TRUEUP_WORKTREE", hide_env = true, value_parser = FalseyValueParser::new())]
    pub worktree: bool,
}

/// How much may go.
#[derive(Args, Clone, Debug, Default)]
pub struct LimitArgs {
    /// Allow up to this many deletions, in place of the limits (10, and half of 5 or more owned objects)
    #[arg(long, value_name = "N", env = "TRUEUP_ALLOW_DELETES", hide_env = true)]
    pub allow_deletes: Option<usize>,
    /// Create everything again although a whole scope has vanished
    #[arg(long, env = "TRUEUP_ALLOW_RECREATE", hide_env = true, value_parser = FalseyValueParser::new())]
    pub allow_recreate: bool,
}

/// How a plan is shown.
#[derive(Args, Clone, Debug, Default)]
pub struct ShowArgs {
    /// How much of the plan to show
    #[arg(long, value_name = "HOW", value_enum, default_value_t, env = "TRUEUP_SHOW", hide_env = true)]
    pub show: Show,
}

/// Write trueup.yaml and a first layer for this repository; changes no file that is there
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup init                        in the current folder\n  trueup init --name shop infra      in the folder infra"
)]
pub struct InitArgs {
    /// Folder of the project
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Name of the project; default: the folder's name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Tour with a small repository and real files; needs no account, no network, asks nothing
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  trueup demo                        makes a new folder under the temporary directory and leaves it there"
)]
pub struct DemoArgs {}

/// Show what this project asks for, and grant it
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup trust                       show all rights, ask, record\n  trueup trust --yes                 record without asking\n  trueup trust --revoke              grant nothing any more"
)]
pub struct TrustArgs {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Take back what was granted: the next plan or apply asks again
    #[arg(long, conflicts_with = "yes")]
    pub revoke: bool,
}

/// Show what would change and why; changes nothing
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup plan -e prod                review\n  trueup plan -e prod --rev feature  what this branch would change\n  trueup plan --detailed-exitcode    0: nothing to do, 2: something to do, 1: an error or something refused"
)]
pub struct PlanArgs {
    #[command(flatten)]
    pub revision: RevisionArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub show: ShowArgs,
    /// Also write the plan as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Keep every host call of this run in a file, for `trueup replay`; secrets are cut out
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Exit with 2 where something would change
    #[arg(long, env = "TRUEUP_DETAILED_EXITCODE", hide_env = true, value_parser = FalseyValueParser::new())]
    pub detailed_exitcode: bool,
}

/// Make it so; shows the plan and asks first
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup apply -e prod                         show the plan, ask, apply\n  trueup apply -e prod --plan p-7f3c0a11       exactly what was reviewed\n  trueup apply -e prod --yes                   for scripts"
)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub revision: RevisionArgs,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub show: ShowArgs,
    /// Do not ask
    #[arg(short, long, env = "TRUEUP_YES", hide_env = true, value_parser = FalseyValueParser::new())]
    pub yes: bool,
    /// Apply exactly this plan: its id (p-1a2b3c4d) or the file that `plan --out` wrote
    #[arg(long, value_name = "ID|FILE")]
    pub plan: Option<String>,
    /// Also wait until everything changed is healthy
    #[arg(long, env = "TRUEUP_WAIT", hide_env = true, value_parser = FalseyValueParser::new())]
    pub wait: bool,
    /// Keep every host call of this run in a file, for `trueup replay`; secrets are cut out
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Exit with 2 where something was to change and nobody agreed
    #[arg(long, env = "TRUEUP_DETAILED_EXITCODE", hide_env = true, value_parser = FalseyValueParser::new())]
    pub detailed_exitcode: bool,
}

/// Delete what an environment owns; asks for the environment's name
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup destroy -e dev                            show, ask for the name, delete\n  trueup destroy -e dev --yes --allow-deletes 40   for scripts"
)]
pub struct DestroyArgs {
    #[command(flatten)]
    pub show: ShowArgs,
    /// Do not ask; needs --allow-deletes
    #[arg(short, long, requires = "allow_deletes")]
    pub yes: bool,
    /// Allow up to this many deletions
    #[arg(long, value_name = "N", env = "TRUEUP_ALLOW_DELETES", hide_env = true)]
    pub allow_deletes: Option<usize>,
}

/// Take existing objects under management: write documents of them, or own what documents name
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup adopt --provider dns --scope example.com   write documents of what exists there; owns and changes nothing\n  trueup adopt -e prod --declared                   own every declared object that already exists, differences first\n  trueup adopt -e prod --recovered                  own again what was found by its mark"
)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
pub struct AdoptArgs {
    /// Every declared object that exists and that nobody owns
    #[arg(long, group = "which")]
    pub declared: bool,
    /// Every object that was found by its mark alone after the state was lost
    #[arg(long, group = "which")]
    pub recovered: bool,
    /// Write documents of what this provider has and nobody declares; commit them, then adopt with --declared
    #[arg(long, value_name = "ALIAS", group = "which", conflicts_with_all = ["declared", "recovered"])]
    pub provider: Option<String>,
    /// Of --provider: which part of it (a zone, a folder, a namespace); default: the one without a name
    #[arg(long, value_name = "SCOPE", default_value = "", hide_default_value = true, requires = "provider", conflicts_with_all = ["declared", "recovered"])]
    pub scope: String,
    /// Of --provider: objects of this kind only; may be given again
    #[arg(long = "kind", value_name = "KIND", requires = "provider", conflicts_with_all = ["declared", "recovered"])]
    pub kinds: Vec<String>,
    /// Of --provider: write into this folder; default: the environment's last layer
    #[arg(long, value_name = "DIR", requires = "provider", conflicts_with_all = ["declared", "recovered"])]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub revision: RevisionArgs,
    #[command(flatten)]
    pub show: ShowArgs,
    /// Do not ask
    #[arg(short, long, env = "TRUEUP_YES", hide_env = true, value_parser = FalseyValueParser::new())]
    pub yes: bool,
}

/// Release resources without deleting anything
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trueup forget -e prod File/motd    the file stays, nobody keeps it any more")]
pub struct ForgetArgs {
    /// Resources, in any unambiguous form; `ALIAS:*` is all that a provider owns
    #[arg(required = true, value_name = "RESOURCE")]
    pub resources: Vec<String>,
    /// Do not ask
    #[arg(short, long, env = "TRUEUP_YES", hide_env = true, value_parser = FalseyValueParser::new())]
    pub yes: bool,
}

/// Say how a change ended whose outcome nobody knows
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup resolve -e prod Server/web --adopt i-0abc   it was created and is called that\n  trueup resolve -e prod Server/web --absent         it was not created"
)]
#[command(group = clap::ArgGroup::new("how").required(true))]
pub struct ResolveArgs {
    /// The resource, in any unambiguous form
    #[arg(value_name = "RESOURCE")]
    pub resource: String,
    /// It was created, and the remote system calls it this
    #[arg(long, value_name = "ID", group = "how")]
    pub adopt: Option<String>,
    /// It was not created
    #[arg(long, group = "how")]
    pub absent: bool,
}

/// One line for each environment, problems first
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  trueup status\n  trueup status -e prod -o json")]
pub struct StatusArgs {}

/// What an environment owns
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup get -e prod                 all resources\n  trueup get -e prod File/motd       one, with its last applied document (-o yaml)"
)]
pub struct GetArgs {
    /// Resources, in any unambiguous form
    #[arg(value_name = "RESOURCE")]
    pub resources: Vec<String>,
}

/// Why a resource is not as declared, down to the root cause
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trueup why -e prod File/motd")]
pub struct WhyArgs {
    /// The resource, in any unambiguous form
    #[arg(value_name = "RESOURCE")]
    pub resource: String,
}

/// Where a value comes from: file, line, layer, commit, author
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trueup explain -e prod Deployment/shop/web spec.replicas")]
pub struct ExplainArgs {
    /// The resource, in any unambiguous form
    #[arg(value_name = "RESOURCE")]
    pub resource: String,
    /// Path of the field; default: every field
    #[arg(value_name = "FIELD")]
    pub field: Option<String>,
    #[command(flatten)]
    pub revision: RevisionArgs,
}

/// Kinds of the environment's providers, their fields, and how the kinds of a cluster are pinned
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup schema -e prod\n  trueup schema Deployment.apps           its fields\n  trueup schema --pin                     write what the cluster has into schemas/ and trueup.lock"
)]
pub struct SchemaArgs {
    /// A kind: shows its fields; with -o json its JSON Schema
    #[arg(value_name = "KIND", conflicts_with = "pin")]
    pub kind: Option<String>,
    /// Ask the systems for the kinds that documents use and pin them, so that validate and render need no network
    #[arg(long)]
    pub pin: bool,
    #[command(flatten)]
    pub revision: RevisionArgs,
}

/// Runs, newest first, and what each of them changed
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup history -e prod\n  trueup history 12                  what that run did, object by object\n  trueup history --verify            check the chain of hashes"
)]
pub struct HistoryArgs {
    /// Number of a run: shows every change it sent or recorded, with its outcome
    #[arg(value_name = "RUN", conflicts_with = "verify")]
    pub run: Option<i64>,
    /// Check that nothing was changed or cut out afterwards
    #[arg(long)]
    pub verify: bool,
    /// How many runs
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
}

/// Check documents, references and schemas; needs no network and no trust
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup validate                    every environment\n  trueup validate -e prod --worktree before committing"
)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub revision: RevisionArgs,
}

/// Print documents after layers and expressions
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  trueup render -e prod\n  trueup render -e prod File/motd -o json")]
pub struct RenderArgs {
    /// Resources, in any unambiguous form; default: all
    #[arg(value_name = "RESOURCE")]
    pub resources: Vec<String>,
    #[command(flatten)]
    pub revision: RevisionArgs,
}

/// Print a completion script
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trueup completions bash > /etc/bash_completion.d/trueup")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Check this machine and project, and say what to do
#[derive(Args, Debug)]
pub struct DoctorArgs {}

/// Version, contract and bundled plugins
#[derive(Args, Debug)]
pub struct VersionArgs {}

/// Explain a command, an error code, or a topic (expressions, credentials, codes)
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup help plan\n  trueup help TU0301\n  trueup help expressions            what may stand in ${{ … }}\n  trueup help credentials            the file of your secrets\n  trueup help codes                  every error code"
)]
pub struct HelpArgs {
    /// A command, a code, `expressions`, `credentials`, or `codes`
    #[arg(value_name = "TOPIC")]
    pub topic: Vec<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[track_caller]
    fn check(line: &str, want: Result<(), clap::error::ErrorKind>) {
        let got = Arguments::try_parse_from(line.split(' ')).map(|_| ()).map_err(|it| it.kind());
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn the_definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_behind_the_verb() {
        for line in ["trueup -e prod -o json plan", "trueup plan -e prod -o json"] {
            let it = Arguments::try_parse_from(line.split(' ')).unwrap().global;
            assert_eq!((it.environment.as_deref(), it.output), (Some("prod"), Format::Json), "{line}");
        }
    }

    #[test]
    fn every_verb_has_a_summary_and_those_that_take_something_have_examples() {
        for verb in Arguments::command().get_subcommands() {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
            if verb.get_positionals().next().is_some() {
                assert!(verb.get_after_help().is_some_and(|it| it.to_string().contains("Example")), "{}", verb.get_name());
            }
        }
    }

    #[test]
    fn what_does_not_go_together_is_wrong_usage() {
        use clap::error::ErrorKind::{ArgumentConflict, InvalidSubcommand, MissingRequiredArgument, UnknownArgument};
        check("trueup apply --yes --plan p-1a2b3c4d --allow-deletes 3", Ok(()));
        check("trueup destroy --yes", Err(MissingRequiredArgument));
        check("trueup destroy --yes --allow-deletes 4", Ok(()));
        check("trueup resolve File/a", Err(MissingRequiredArgument));
        check("trueup resolve File/a --absent --adopt x", Err(ArgumentConflict));
        check("trueup adopt", Err(MissingRequiredArgument));
        check("trueup adopt --provider dns --scope example.com --kind A --kind B --out base", Ok(()));
        check("trueup adopt --provider dns --declared", Err(ArgumentConflict));
        check("trueup adopt --declared --scope example.com", Err(ArgumentConflict));
        check("trueup plan --rev x --worktree", Err(ArgumentConflict));
        check("trueup forget", Err(MissingRequiredArgument));
        check("trueup plna", Err(InvalidSubcommand));
        check("trueup plan --yes", Err(UnknownArgument));
    }
}
