//! Keys that sign requests to AWS: where an entry of `credentials.yaml` says that they come from, and how they are got anew.
//!
//! Owns the way from an entry to a [`Login`] that gives keys: a file or variable, a profile, a token for a role, the role of this
//! machine; and the role that is assumed with what that gave. Everything is asked for by name: no source gives way to another
//! one, and no variable, file or address is looked at that neither the entry nor the profile that it names says. What other tools
//! would do for a profile and we do not is refused with the reason.
//!
//! Written by hand over the HTTP client that is there. `aws-config` reads the process's variables at will and cannot be kept from
//! it: `AWS_ENDPOINT_URL` alone would say to whom a token is sent. It takes no endpoint of STS for profiles and tokens of files,
//! and runs the program of a profile in a shell, whoever named it.
//!
//! Invariant: no key and no token stands in a message or in `Debug` text; names of profiles, roles and files do.

mod http;
mod ini;
mod instance;
mod process;
mod profile;
mod read;
mod sso;
mod sts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use trueup_host::sigv4::Keys;
use trueup_host::{Login, Secret};
use url::Url;

use self::http::Http;
use self::sts::{Role, Sts};
use super::renewed::{Get, Got, Renewed};
use super::{Source, read_value};
use crate::config::paths;
use crate::regular;

/// Bytes of a token or of a file of profiles.
const BYTES: u64 = 1 << 20;
/// How long before their end keys are got anew, at most: servers differ over the time, and a request may take its while.
const BEFORE_END: Duration = Duration::from_mins(5);
/// Secrets below this are not looked for in messages: they are parts of common words.
const SHORTEST: usize = 4;
/// How long keys of files and profiles are believed to be what stands there.
const FILES: Duration = Duration::from_mins(1);

/// What an entry says of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    from: From,
    role: Option<Role>,
    /// Of STS.
    region: Option<String>,
    /// Where STS is, in place of AWS's own.
    sts: Option<Url>,
    /// Programs that may be run for a profile.
    pub exec: Vec<String>,
}

/// Where keys come from in the first place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum From {
    Keys {
        access_key: Source,
        secret_key: Source,
        session_token: Option<Source>,
    },
    Environment,
    Profile {
        name: String,
        /// The only file that is read, in place of the usual ones.
        config: Option<PathBuf>,
    },
    WebIdentity {
        role: Role,
        token: PathBuf,
    },
    Instance {
        endpoint: Option<Url>,
    },
}

/// What a login finds around it.
#[derive(Clone, Default)]
pub(super) struct Around {
    home: Option<PathBuf>,
    /// None: the process's own.
    variables: Option<BTreeMap<String, String>>,
    /// Where SSO is, in place of AWS's own: for tests.
    sso: Option<Url>,
}

impl fmt::Debug for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Around").field("home", &self.home).finish_non_exhaustive()
    }
}

impl Around {
    /// The process's own.
    pub fn ours() -> Self {
        Self { home: paths::home(), ..Self::default() }
    }

    /// A variable that is set, and not to nothing.
    fn variable(&self, name: &str) -> Option<String> {
        let value = match &self.variables {
            Some(them) => them.get(name).cloned(),
            None => std::env::var(name).ok(),
        };
        value.filter(|it| !it.is_empty())
    }

    /// A file of the user's, as a variable or else `below` the home says.
    fn file(&self, variable: &str, below: &str) -> Result<PathBuf, String> {
        match (self.variable(variable), &self.home) {
            (Some(path), home) => Ok(paths::expand(&path, home.as_deref())),
            (None, Some(home)) => Ok(home.join(below)),
            (None, None) => Err(format!("neither `HOME` nor `{variable}` is set")),
        }
    }
}

/// Keys as they were got.
#[derive(Debug)]
struct Found {
    keys: Keys,
    /// For how long they are good; None: without end, or nobody says.
    lasts: Option<Duration>,
    /// For how long they are believed to be what would be got again.
    fresh: Option<Duration>,
}

/// Gathers what nobody may see, so that it can be kept out of whatever is written, also where something goes wrong later.
#[derive(Default)]
struct Values(Vec<String>);

impl Values {
    fn add(&mut self, secret: &Secret) {
        self.0.push(secret.expose().to_owned());
    }

    /// Keys of three texts.
    fn keys(&mut self, access_key: Secret, secret_key: Secret, session_token: Option<Secret>) -> Keys {
        self.add(&secret_key);
        if let Some(token) = &session_token {
            self.add(token);
        }
        Keys { access_key, secret_key, session_token }
    }

    /// A message without them.
    fn cut(&self, words: String) -> String {
        self.0.iter().filter(|it| it.len() >= SHORTEST).fold(words, |words, it| words.replace(it.as_str(), "(secret)"))
    }
}

/// The source behind a login.
#[derive(Debug)]
struct Aws {
    asked: Asked,
    /// Authorities to believe besides the public ones.
    ca_pem: Option<String>,
    around: Around,
}

/// A login that gives keys. Files are looked at now, so that what is wrong is said where the entry is named; nothing is asked in
/// the network yet, and no program run.
///
/// # Errors
///
/// Says what is wrong and where.
pub(super) fn open(asked: &Asked, ca_pem: Option<String>, around: Around) -> Result<Arc<dyn Login>, String> {
    login(asked, ca_pem, around).map(|it| Arc::new(it) as Arc<dyn Login>)
}

fn login(asked: &Asked, ca_pem: Option<String>, around: Around) -> Result<Renewed, String> {
    let aws = Aws { asked: asked.clone(), ca_pem, around };
    let whose = aws.whose()?;
    match &aws.asked.from {
        From::Keys { .. } | From::Environment => drop(aws.plain(&mut Values::default())?),
        From::Profile { name, config } => drop(aws.chain(name, config.as_deref()).map_err(|why| format!("{whose}: {why}"))?),
        From::WebIdentity { token, .. } => drop(token_of(token)?),
        From::Instance { .. } => {}
    }
    Ok(Renewed::new(whose, aws).before_end(BEFORE_END))
}

impl Get for Aws {
    fn get(&self) -> Result<Got, String> {
        let mut values = Values::default();
        let found = http::wait(async {
            let http = Http::new(self.ca_pem.as_deref())?;
            self.find(&http, &mut values).await
        });
        let found = found.map_err(|why| values.cut(why))?;
        Ok(Got { keys: Some(found.keys), values: values.0, lasts: found.lasts, fresh: found.fresh, ..Got::default() })
    }
}

impl Aws {
    /// Whose keys these are, for messages.
    fn whose(&self) -> Result<String, String> {
        let whose = match &self.asked.from {
            From::Keys { access_key, .. } => match access_key {
                Source::Env(name) => format!("the access key in `{name}`"),
                Source::File(path) => format!("the access key in `{}`", path.display()),
            },
            From::Environment => "the access key in `AWS_ACCESS_KEY_ID`".to_owned(),
            From::Profile { name, config } => {
                let usual = || self.around.file("AWS_CONFIG_FILE", ".aws/config");
                let config = config.clone().map_or_else(usual, Ok)?;
                format!("profile `{}` of `{}`", crate::config::decode::shown(name), config.display())
            }
            From::WebIdentity { role, token } => format!("role `{}` by the token in `{}`", role.arn, token.display()),
            From::Instance { .. } => "the role of this instance".to_owned(),
        };
        Ok(match &self.asked.role {
            Some(role) => format!("role `{}` by {whose}", role.arn),
            None => whose,
        })
    }

    async fn find(&self, http: &Http, values: &mut Values) -> Result<Found, String> {
        let (mut found, region) = match &self.asked.from {
            From::Keys { .. } | From::Environment => (self.plain(values)?, None),
            From::Profile { name, config } => {
                let chain = self.chain(name, config.as_deref())?;
                let region = chain.region.clone();
                (self.follow(http, values, chain).await?, region)
            }
            From::WebIdentity { role, token } => {
                let token = token_of(token)?;
                values.add(&token);
                (self.sts(http, None)?.by_token(role, &token, values).await?, None)
            }
            From::Instance { endpoint } => (instance::find(http, endpoint.as_ref(), values).await?, None),
        };
        if let Some(role) = &self.asked.role {
            found = self.sts(http, region.as_deref())?.assume(role, &found.keys, values).await?;
        }
        Ok(found)
    }

    /// Keys that stand somewhere as they are.
    fn plain(&self, values: &mut Values) -> Result<Found, String> {
        let keys = match &self.asked.from {
            From::Keys { access_key, secret_key, session_token } => {
                let token = session_token.as_ref().map(read_value).transpose()?;
                values.keys(read_value(access_key)?, read_value(secret_key)?, token)
            }
            _ => {
                let variable = |name: &str| self.around.variable(name).map(Secret::new);
                let needed = |name: &str| variable(name).ok_or_else(|| format!("the variable `{name}` is not set"));
                let [access_key, secret_key] = [needed("AWS_ACCESS_KEY_ID")?, needed("AWS_SECRET_ACCESS_KEY")?];
                values.keys(access_key, secret_key, variable("AWS_SESSION_TOKEN"))
            }
        };
        judged(&keys)?;
        Ok(Found { keys, lasts: None, fresh: Some(FILES) })
    }

    fn sts<'a>(&self, http: &'a Http, region: Option<&str>) -> Result<Sts<'a>, String> {
        Sts::new(http, self.asked.sts.as_ref(), self.asked.region.as_deref().or(region))
    }
}

/// Refuses keys that can stand in no header: a line end in a file's middle, say.
fn judged(keys: &Keys) -> Result<(), String> {
    let parts = [Some(&keys.access_key), Some(&keys.secret_key), keys.session_token.as_ref()];
    let plain = |it: &Secret| it.expose().bytes().all(|it| it.is_ascii_graphic());
    if parts.into_iter().flatten().all(plain) {
        return Ok(());
    }
    Err("an access key, its secret key and its session token are one word each, and one of these is not".to_owned())
}

/// A token in a file, which whoever wrote it replaces before its end.
fn token_of(path: &Path) -> Result<Secret, String> {
    let show = path.display();
    let bytes = regular::read(path, BYTES).map_err(|err| format!("the token in `{show}` cannot be read: {err}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("the token in `{show}` is not UTF-8"))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(format!("the file `{show}` is empty"));
    }
    Ok(Secret::from(token))
}

/// The domain that a region lies in.
fn domain(region: &str) -> &'static str {
    const OTHERS: [(&str, &str); 6] = [
        ("cn-", "amazonaws.com.cn"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("us-isof-", "csp.hci.ic.gov"),
        ("us-iso-", "c2s.ic.gov"),
        ("eu-isoe-", "cloud.adc-e.uk"),
        ("eusc-", "amazonaws.eu"),
    ];
    OTHERS.iter().find(|it| region.starts_with(it.0)).map_or("amazonaws.com", |it| it.1)
}

/// Whether a text may be a region's: it becomes part of a host's name.
fn is_region(text: &str) -> bool {
    let fits = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}
