//! Profiles of AWS's shared files, and the chain of roles that begins at one.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use trueup_core::schema::suggest;
use trueup_host::Secret;

use super::http::Http;
use super::ini::{self, Settings};
use super::process;
use super::sso::Sso;
use super::sts::Role;
use super::{Around, Aws, BYTES, FILES, Found, Values, is_region, judged, token_of};
use crate::config::credentials::program::Program;
use crate::config::decode::shown;
use crate::config::paths;
use crate::{private, regular};

/// What one profile after the other comes to.
#[derive(Debug)]
pub(super) struct Chain {
    base: Base,
    /// To be assumed in this order.
    roles: Vec<Role>,
    /// Of the profile that was named.
    pub region: Option<String>,
}

/// Where a chain begins.
#[derive(Debug)]
enum Base {
    Keys { access_key: Secret, secret_key: Secret, session_token: Option<Secret> },
    WebIdentity { role: Role, token: PathBuf },
    Sso(Sso),
    Program(Program),
}

/// The files, read.
struct Files {
    profiles: BTreeMap<String, Settings>,
    sessions: BTreeMap<String, Settings>,
    /// How messages call them.
    names: String,
}

impl Aws {
    /// What a profile comes to, as the files are now.
    pub(super) fn chain(&self, name: &str, config: Option<&Path>) -> Result<Chain, String> {
        let files = Files::read(&self.around, config)?;
        Resolve { aws: self, files: &files }.chain(name)
    }

    /// Gets the keys that a chain begins with, and assumes its roles.
    pub(super) async fn follow(&self, http: &Http, values: &mut Values, chain: Chain) -> Result<Found, String> {
        let sts = || self.sts(http, chain.region.as_deref());
        let mut found = match chain.base {
            Base::Keys { access_key, secret_key, session_token } => {
                let keys = values.keys(access_key, secret_key, session_token);
                judged(&keys)?;
                Found { keys, lasts: None, fresh: Some(FILES) }
            }
            Base::WebIdentity { role, token } => {
                let token = token_of(&token)?;
                values.add(&token);
                sts()?.by_token(&role, &token, values).await?
            }
            Base::Sso(sso) => sso.find(http, &self.around, values).await?,
            Base::Program(program) => process::find(&program, values)?,
        };
        for role in &chain.roles {
            found = sts()?.assume(role, &found.keys, values).await?;
        }
        Ok(found)
    }
}

impl Files {
    fn read(around: &Around, only: Option<&Path>) -> Result<Self, String> {
        let mut files = Self { profiles: BTreeMap::new(), sessions: BTreeMap::new(), names: String::new() };
        if let Some(path) = only {
            let text = config(path)?.ok_or_else(|| format!("there is no file `{}`", path.display()))?;
            files.take(path, &text, true, true)?;
            files.names = format!("`{}`", path.display());
            return Ok(files);
        }
        let [first, second] =
            [around.file("AWS_CONFIG_FILE", ".aws/config")?, around.file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")?];
        files.names = format!("`{}` and `{}`", first.display(), second.display());
        if let Some(text) = config(&first)? {
            files.take(&first, &text, true, false)?;
        }
        let bytes = private::read(&second, BYTES).map_err(|why| format!("`{}`: {why}", second.display()))?;
        if let Some(bytes) = bytes {
            let text = String::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8", second.display()))?;
            files.take(&second, &text, false, true)?;
        }
        Ok(files)
    }

    /// Takes sections in; what stands there stands before what another file says. `prefixed`: profiles are called `profile x`;
    /// `bare`: they are called `x`.
    fn take(&mut self, path: &Path, text: &str, prefixed: bool, bare: bool) -> Result<(), String> {
        let sections = ini::read(text).map_err(|why| format!("`{}`, {why}", path.display()))?;
        for (name, settings) in sections {
            let (kind, rest) = name.split_once([' ', '\t']).map_or(("", name.as_str()), |(kind, rest)| (kind, rest.trim()));
            let own = rest.trim_matches(['"', '\'']).to_owned();
            let into = match kind {
                "profile" if prefixed => self.profiles.entry(own),
                "sso-session" if prefixed => self.sessions.entry(own),
                "" if bare || own == "default" => self.profiles.entry(own),
                _ => continue,
            };
            into.or_default().extend(settings);
        }
        Ok(())
    }
}

/// A file of settings. Others may read it, unless it holds keys, but not write it: it says where keys come from.
fn config(path: &Path) -> Result<Option<String>, String> {
    let show = path.display();
    let (file, meta) = match regular::open(path) {
        Ok(opened) => opened,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(format!("`{show}` cannot be read: {err}")),
    };
    let user = rustix::process::geteuid().as_raw();
    if (meta.uid() != user && meta.uid() != 0) || meta.mode() & 0o022 != 0 {
        return Err(format!("`{show}`: others can change it; run `chmod 600` on it, and own it"));
    }
    let mut bytes = Vec::new();
    file.take(BYTES + 1).read_to_end(&mut bytes).map_err(|err| format!("`{show}` cannot be read: {err}"))?;
    if bytes.len() as u64 > BYTES {
        return Err(format!("`{show}` is longer than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("`{show}` is not UTF-8"))?;
    let keys = ["aws_secret_access_key", "aws_session_token"].iter().any(|it| text.to_ascii_lowercase().contains(it));
    if keys && meta.mode() & 0o077 != 0 {
        return Err(format!("`{show}`: it holds keys, and others can read it; run `chmod 600` on it"));
    }
    Ok(Some(text))
}

/// Follows profiles from one to the next.
struct Resolve<'a> {
    aws: &'a Aws,
    files: &'a Files,
}

impl Resolve<'_> {
    fn chain(&self, first: &str) -> Result<Chain, String> {
        let (mut name, mut seen, mut roles) = (first, Vec::new(), Vec::new());
        let region = self.profile(first)?.get("region").filter(|it| !it.is_empty()).cloned();
        if region.as_ref().is_some_and(|it| !is_region(it)) {
            return Err("its `region` is no name of a region".to_owned());
        }
        let base = loop {
            let profile = self.profile(name)?;
            let say = |why: String| if name == first { why } else { format!("profile `{}`: {why}", shown(name)) };
            seen.push(name);
            let role = role(profile).map_err(say)?.filter(|_| setting(profile, "web_identity_token_file").is_none());
            // A profile further on that has keys gives these, and so does one that names itself.
            let keys = keys(profile).map_err(say)?;
            let Some(role) = role.filter(|_| seen.len() == 1 || keys.is_none()) else {
                break match keys {
                    Some(keys) if seen.len() > 1 => keys,
                    keys => self.base(name, profile, keys).map_err(say)?,
                };
            };
            self.may_assume(profile).map_err(say)?;
            roles.push(role);
            let next = source(profile).map_err(say)?;
            if next == name {
                break self.base(name, profile, keys).map_err(say)?;
            }
            if seen.contains(&next) {
                return Err(format!("its chain of `source_profile` comes back to `{}`", shown(next)));
            }
            name = next;
        };
        roles.reverse();
        Ok(Chain { base, roles, region })
    }

    fn profile(&self, name: &str) -> Result<&Settings, String> {
        self.files.profiles.get(name).ok_or_else(|| {
            let near = suggest::nearest(name, self.files.profiles.keys().map(String::as_str));
            let near = near.map(|it| format!("; did you mean `{}`?", shown(it))).unwrap_or_default();
            format!("there is no profile `{}` in {}{near}", shown(name), self.files.names)
        })
    }

    /// Where a profile's own keys come from.
    fn base(&self, name: &str, profile: &Settings, keys: Option<Base>) -> Result<Base, String> {
        let role = role(profile)?;
        if let Some(token) = setting(profile, "web_identity_token_file") {
            let role = role.ok_or("it has a `web_identity_token_file` and no `role_arn`")?;
            self.may_assume(profile)?;
            return Ok(Base::WebIdentity { role, token: paths::expand(token, self.aws.around.home.as_deref()) });
        }
        if let Some(sso) = Sso::of(name, profile, |it| self.files.sessions.get(it))? {
            return Ok(Base::Sso(sso));
        }
        if let Some(command) = setting(profile, "credential_process").filter(|_| keys.is_none()) {
            return process::program(command, &self.aws.asked.exec, self.aws.around.home.as_deref()).map(Base::Program);
        }
        if setting(profile, "login_session").is_some() {
            return Err("it logs in by `login_session`, which this version does not; use `sso_session`".to_owned());
        }
        keys.ok_or_else(|| "it says nothing of where its keys come from".to_owned())
    }

    /// Refuses what would make another request to STS of it than the one that we send.
    fn may_assume(&self, profile: &Settings) -> Result<(), String> {
        if setting(profile, "mfa_serial").is_some() {
            return Err("its role asks somebody for a code (`mfa_serial`), and there is nobody; name a role without, or use SSO"
                .to_owned());
        }
        let elsewhere = ["endpoint_url", "use_fips_endpoint", "use_dualstack_endpoint"];
        let named = |it: &&&str| setting(profile, it).is_some_and(|it| it != "false");
        match elsewhere.iter().find(named) {
            Some(key) if self.aws.asked.sts.is_none() => Err(format!(
                "it wants another STS (`{key}`), which the entry in credentials.yaml must name: write `sts: URL` there"
            )),
            _ => Ok(()),
        }
    }
}

fn setting<'a>(profile: &'a Settings, key: &str) -> Option<&'a str> {
    profile.get(key).map(String::as_str).filter(|it| !it.is_empty())
}

fn keys(profile: &Settings) -> Result<Option<Base>, String> {
    let secret = |key: &str| setting(profile, key).map(Secret::from);
    match (secret("aws_access_key_id"), secret("aws_secret_access_key")) {
        (Some(access_key), Some(secret_key)) => {
            Ok(Some(Base::Keys { access_key, secret_key, session_token: secret("aws_session_token") }))
        }
        (None, None) => Ok(None),
        _ => Err("it has one of `aws_access_key_id` and `aws_secret_access_key` alone".to_owned()),
    }
}

fn role(profile: &Settings) -> Result<Option<Role>, String> {
    let Some(arn) = setting(profile, "role_arn") else { return Ok(None) };
    let text = |key: &str| setting(profile, key).map(str::to_owned);
    let duration = match setting(profile, "duration_seconds") {
        Some(text) => Some(text.parse().map(Duration::from_secs).map_err(|_| "its `duration_seconds` is no number".to_owned())?),
        None => None,
    };
    Ok(Some(Role { arn: arn.to_owned(), external_id: text("external_id"), session_name: text("role_session_name"), duration }))
}

/// The profile whose keys assume this one's role.
fn source(profile: &Settings) -> Result<&str, String> {
    match (setting(profile, "source_profile"), setting(profile, "credential_source")) {
        (Some(name), None) => Ok(name),
        (Some(_), Some(_)) => Err("it has both `source_profile` and `credential_source`".to_owned()),
        (None, Some(_)) => Err("its `credential_source` is not followed: write `environment: true` or `instance: true` with \
             `assume-role` into the entry in credentials.yaml"
            .to_owned()),
        (None, None) => Err("it has a `role_arn` and no `source_profile`".to_owned()),
    }
}
