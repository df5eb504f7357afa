//! What may stand after the verbs that bring plugins here, change them, and hand them on.

use std::path::PathBuf;

use clap::Args;

/// Whose signature is asked for
#[derive(Args, Clone, Debug, Default)]
pub struct SignerArgs {
    /// Public key to trust for this, in place of plugin-keys/*.pub in your configuration folder; may be given several times
    #[arg(long = "key", value_name = "FILE.pub")]
    pub keys: Vec<PathBuf>,
    /// Repository that it was signed for, where this is a mirror of it
    #[arg(long, value_name = "HOST/NAME")]
    pub signed_for: Option<String>,
}

/// Take a plugin into this project: show what it asks for, ask, and write trueup.lock
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup plugin add ./tickets.wasm --as tickets\n  trueup plugin add oci://registry.example.com/team/tickets:1.0\n  trueup plugin add --bundle ./carried oci://registry.example.com/team/tickets:1.0"
)]
pub struct AddArgs {
    /// Path of a component, or oci://HOST/NAME:TAG
    #[arg(value_name = "PATH|REF")]
    pub plugin: String,
    /// Print the lines for trueup.yaml, with the provider under this alias
    #[arg(long = "as", value_name = "ALIAS")]
    pub alias: Option<String>,
    /// Take it from this bundle, and from no network
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    #[command(flatten)]
    pub signer: SignerArgs,
    /// Take it though no trusted key signed it: its digest is all that holds it from then on
    #[arg(long)]
    pub allow_unsigned: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Show what a newer version of a plugin changes, in rights, kinds and plans, ask, and write trueup.lock
#[derive(Args, Debug, Default)]
#[command(
    after_help = "Examples:\n  trueup plugin upgrade oci://registry.example.com/team/tickets:1          what the tag leads to now\n  trueup plugin upgrade oci://registry.example.com/team/tickets:1.0 --to 1.1\n  trueup plugin upgrade ./tickets.wasm                                  the file has changed"
)]
pub struct UpgradeArgs {
    /// As it stands after `plugin:` in trueup.yaml
    #[arg(value_name = "TEXT")]
    pub plugin: String,
    /// Another tag of the same repository, another reference, or another path
    #[arg(long, value_name = "TAG|REF|PATH")]
    pub to: Option<String>,
    /// Take it from this bundle, and from no network
    #[arg(long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    #[command(flatten)]
    pub signer: SignerArgs,
    /// Take it though no trusted key signed it
    #[arg(long)]
    pub allow_unsigned: bool,
    /// Agree that it asks for more than before
    #[arg(long)]
    pub allow_more_rights: bool,
    /// Agree that it calls itself otherwise, or that nobody can tell: that it may be another plugin
    #[arg(long)]
    pub allow_other_name: bool,
    /// Agree that nobody you trust signed it, where the pinned one was signed
    #[arg(long)]
    pub allow_lost_signer: bool,
    /// Do not ask, unless it asks for more rights, may be another plugin, or lost its signer
    #[arg(short, long)]
    pub yes: bool,
}

/// Take a plugin that nothing uses any more out of trueup.lock
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  trueup plugin remove oci://registry.example.com/team/tickets:1.0")]
pub struct RemoveArgs {
    /// As it stands in trueup.lock
    #[arg(value_name = "TEXT")]
    pub plugin: String,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Put a plugin into a registry; the same again does nothing
#[derive(Args, Debug)]
#[command(
    override_usage = "trueup plugin publish [OPTIONS] [PATH] REF",
    after_help = "Examples:\n  trueup plugin publish ./tickets.wasm oci://registry.example.com/team/tickets:1.0 --key me.key\n  trueup plugin publish oci://registry.example.com/team/tickets:1.0        from the project in this folder"
)]
pub struct PublishArgs {
    /// Path of a component or of a plugin project (default: this folder), then oci://HOST/NAME:TAG
    #[arg(value_name = "PATH|REF", num_args = 0..)]
    pub what: Vec<String>,
    /// Private key to sign it with
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Let a tag that leads elsewhere lead here from now on
    #[arg(long)]
    pub move_tag: bool,
}

/// Sign a published plugin, or a file
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup plugin sign --new-key me.key                                    draw a key: me.key and me.key.pub\n  trueup plugin sign oci://registry.example.com/team/tickets:1.0 --key me.key\n  trueup plugin sign ./tickets.wasm --key cosign.key                     writes tickets.wasm.sig\n\nKeys: Ed25519 or ECDSA P-256 as PKCS #8 PEM, and cosign's (password in COSIGN_PASSWORD)."
)]
pub struct SignArgs {
    /// oci://HOST/NAME:TAG, or path of a component
    #[arg(value_name = "REF|PATH", required_unless_present = "new_key")]
    pub what: Option<String>,
    /// Private key
    #[arg(long, value_name = "FILE", required_unless_present = "new_key")]
    pub key: Option<PathBuf>,
    /// Draw a key, write it to this new file and its public half to FILE.pub
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub new_key: Option<PathBuf>,
}

/// Say who signed a published plugin, or a file
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  trueup plugin verify oci://registry.example.com/team/tickets:1.0\n  trueup plugin verify ./tickets.wasm --key author.pub"
)]
pub struct VerifyArgs {
    /// oci://HOST/NAME:TAG, or path of a component
    #[arg(value_name = "REF|PATH")]
    pub what: String,
    #[command(flatten)]
    pub signer: SignerArgs,
}

/// Copy plugins with their signatures to another registry
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  trueup plugin mirror oci://registry.example.com/team/tickets:1.0 --to oci://mirror.internal/plugins\n  trueup plugin add oci://mirror.internal/plugins/team/tickets:1.0 --signed-for registry.example.com/team/tickets"
)]
pub struct MirrorArgs {
    /// oci://HOST/NAME:TAG
    #[arg(value_name = "REF", required = true)]
    pub references: Vec<String>,
    /// Registry to copy to, with what is to stand before each name
    #[arg(long, value_name = "oci://HOST[/PREFIX]")]
    pub to: String,
    #[command(flatten)]
    pub signer: SignerArgs,
    /// Copy what no trusted key signed too
    #[arg(long)]
    pub allow_unsigned: bool,
}

/// Copy plugins with their signatures into a folder, to carry where no network is
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  trueup plugin bundle ./carried oci://registry.example.com/team/tickets:1.0\n  trueup plugin add --bundle ./carried oci://registry.example.com/team/tickets:1.0\n\nThe folder is an OCI image layout; other tools read it."
)]
pub struct BundleArgs {
    /// Folder, made where it is missing; what is in it stays
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// oci://HOST/NAME:TAG
    #[arg(value_name = "REF", required = true)]
    pub references: Vec<String>,
    #[command(flatten)]
    pub signer: SignerArgs,
    /// Copy what no trusted key signed too
    #[arg(long)]
    pub allow_unsigned: bool,
}
