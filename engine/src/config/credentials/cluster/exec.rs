//! Programs that log in for a kubeconfig (`exec`), as `client.authentication.k8s.io/v1` has it.
//!
//! They run with the operator's environment, as kubectl's do, without input, for a bounded time and with a bounded answer.
//! What such a program prints as its answer is a secret as a whole; what it says on its standard error is shown in part, as it
//! is what a person needs, without the values of its own variables.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use trueup_core::text::clean;
use trueup_core::value::{Json, json};
use trueup_host::{ClientCertificate, Secret};

use super::Place;
use super::login::{Got, bearer};
use crate::kit::build::process::{Running, Stop};

/// How long a program may take.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// Bytes of an answer, and of what is said on the standard error.
const OUTPUT: u64 = 1 << 20;
/// Characters of the standard error that a message shows.
const WORDS: usize = 300;
const PAUSE: Duration = Duration::from_millis(5);
/// How long a pipe is read once its program has ended.
const LEFT_OPEN: Duration = Duration::from_secs(1);
/// Secret variables below this are not looked for in what a program says: they are parts of common words.
const SHORTEST: usize = 4;

/// The form of the answer that the kubeconfig asks for. The older one differs in its name alone; clouds still write it.
pub(super) const VERSIONS: &[&str] = &["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// A program, and how it is run.
#[derive(Debug)]
pub(super) struct Program {
    pub command: PathBuf,
    pub arguments: Vec<String>,
    pub variables: Vec<(String, String)>,
    pub api: String,
    /// What it is told of the cluster, where the kubeconfig wants that.
    pub cluster: Option<Json>,
    /// What the kubeconfig says to whoever does not have it.
    pub hint: Option<String>,
    pub limit: Duration,
}

/// What a program is told of the cluster.
pub(super) fn cluster_info(place: &Place) -> Json {
    let mut info = json!({ "server": place.server.as_str().trim_end_matches('/') });
    let mut put = |key: &str, value: Option<Json>| {
        if let (Some(fields), Some(value)) = (info.as_object_mut(), value) {
            fields.insert(key.to_owned(), value);
        }
    };
    put("tls-server-name", place.name.clone().map(Json::from));
    put("insecure-skip-tls-verify", place.insecure.then_some(Json::from(true)));
    put("certificate-authority-data", place.ca_pem.as_ref().map(|it| BASE64_STANDARD.encode(it).into()));
    put("config", place.extension.clone());
    info
}

impl Program {
    /// Runs it and reads its answer.
    ///
    /// # Errors
    ///
    /// Where it does not start or end in time, fails, or answers with something else than a credential.
    pub fn run(&self) -> Result<Got, String> {
        let answer = self.answer()?;
        self.read(answer.expose()).map_err(|why| format!("{} {why}", self.name()))
    }

    fn name(&self) -> String {
        format!("the program `{}`", clean(&self.command.to_string_lossy(), 200))
    }

    fn answer(&self) -> Result<Secret, String> {
        let name = self.name();
        let mut spec = json!({ "interactive": false });
        if let (Some(fields), Some(cluster)) = (spec.as_object_mut(), &self.cluster) {
            fields.insert("cluster".to_owned(), cluster.clone());
        }
        let info = json!({ "apiVersion": self.api, "kind": "ExecCredential", "spec": spec });
        let mut command = Command::new(&self.command);
        command.args(&self.arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("KUBERNETES_EXEC_INFO", info.to_string()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::start(&mut command, &Stop::default()).map_err(|err| {
            let hint = self.hint.as_ref().map(|it| format!("; {}", clean(it, WORDS))).unwrap_or_default();
            format!("{name} does not start: {err}{hint}")
        })?;
        let out = running.child().stdout.take().map(Pipe::new);
        let said = running.child().stderr.take().map(Pipe::new);
        let late = Instant::now() + self.limit;
        let status = loop {
            match running.ended() {
                Ok(Some(status)) => break status,
                Err(err) => return Err(format!("{name} cannot be waited for: {err}")),
                Ok(None) if Instant::now() < late => thread::sleep(PAUSE),
                Ok(None) => {
                    running.end();
                    let limit = self.limit.as_secs();
                    return Err(format!("{name} was ended, as it did not answer within {limit} s; run it by hand to see why"));
                }
            }
        };
        // Ends what it started too, which may hold the pipes open.
        running.end();
        let answer = out.map(Pipe::gather).unwrap_or_default();
        let said = String::from_utf8_lossy(&said.map(Pipe::gather).unwrap_or_default()).into_owned();
        // Before its status: whoever reads no further ends it.
        if answer.len() as u64 > OUTPUT {
            return Err(format!("{name} answered with more than 1 MiB"));
        }
        if !status.success() {
            return Err(format!("{name} failed ({status}){}", self.words(&said)));
        }
        String::from_utf8(answer).map(Secret::new).map_err(|_| format!("{name} answered with what is not UTF-8"))
    }

    /// The end of what it said, without the values of its variables.
    fn words(&self, said: &str) -> String {
        let mut text = said.trim().to_owned();
        for (_, value) in self.variables.iter().filter(|it| it.1.len() >= SHORTEST) {
            text = text.replace(value, "(secret)");
        }
        let skipped = text.chars().count().saturating_sub(WORDS);
        let text: String = text.chars().skip(skipped).collect();
        if text.is_empty() { String::new() } else { format!(": {}", clean(&text, 2 * WORDS)) }
    }

    /// Reads an `ExecCredential`. No message holds any of it but its version.
    fn read(&self, answer: &str) -> Result<Got, String> {
        let json: Json = serde_json::from_str(answer).map_err(|_| "answered with what is no JSON".to_owned())?;
        let text = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default();
        if text("kind") != "ExecCredential" {
            return Err("answered with what is no `ExecCredential`".to_owned());
        }
        if text("apiVersion") != self.api {
            return Err(format!("answered in another version than `{}`, which the kubeconfig names", self.api));
        }
        let status = json.get("status").and_then(Json::as_object).ok_or("answered without a `status`")?;
        let text = |key: &str| match status.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.as_str()).filter(|it| !it.is_empty())),
            Some(_) => Err(format!("answered with a `status.{key}` that is no text")),
        };
        let certificate = match (text("clientCertificateData")?, text("clientKeyData")?) {
            (Some(cert), Some(key)) => Some(ClientCertificate { cert_pem: cert.to_owned(), key_pem: Secret::from(key) }),
            (None, None) => None,
            _ => return Err("answered with a certificate or a key alone".to_owned()),
        };
        let mut got = text("token")?.map(bearer).unwrap_or_default();
        if got.authorization.is_none() && certificate.is_none() {
            return Err("answered with neither a token nor a certificate".to_owned());
        }
        got.certificate = certificate;
        if let Some(end) = text("expirationTimestamp")? {
            let end = moment(end).ok_or("answered with an `expirationTimestamp` that is no time")?;
            let lasts = end.duration_since(SystemTime::now()).ok().filter(|it| !it.is_zero());
            got.lasts =
                Some(lasts.ok_or("answered with a credential whose time is over already; look at this machine's clock too")?);
        }
        Ok(got)
    }
}

/// What comes out of a pipe, while it comes.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Pipe {
    /// Reads to its end, or a little beyond the limit.
    fn new(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let into = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let (mut chunk, mut total) = ([0; 8192], 0);
            while let Ok(len @ 1..) = pipe.read(&mut chunk) {
                total += len as u64;
                into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(chunk.get(..len).unwrap_or_default());
                if total > OUTPUT {
                    break;
                }
            }
        });
        Self { bytes, reader }
    }

    /// What came. A process that left the program's group may hold the pipe open for ever: nobody waits for that one.
    fn gather(self) -> Vec<u8> {
        let late = Instant::now() + LEFT_OPEN;
        while !self.reader.is_finished() && Instant::now() < late {
            thread::sleep(PAUSE);
        }
        std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads `2026-11-23T14:00:00Z`, with parts of a second or an offset such as `+01:00` where there are any (RFC 3339).
fn moment(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.split('-').map(digits);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, offset) = match time.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => {
            let (clock, offset) = time.split_at_checked(time.len().checked_sub(6)?)?;
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let seconds = digits(hours)? * 3600 + digits(minutes)? * 60;
            (clock, if offset.starts_with('+') { seconds } else { offset.starts_with('-').then_some(-seconds)? })
        }
    };
    let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
    let mut clock = clock.split(':').map(digits);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let known = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !known || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Hinnant's `days_from_civil`.
    let (year, shifted) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (year / 400, year % 400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * shifted + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// A number of at most four digits.
fn digits(text: &str) -> Option<i64> {
    ((1..=4).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_rfc_3339_writes_them() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("2023-11-14T22:13:20.123456789Z", Some(1_700_000_000)),
            ("2023-11-14T23:13:20+01:00", Some(1_700_000_000)),
            ("2023-11-14T17:43:20.5-04:30", Some(1_700_000_000)),
            ("2023-11-14", None),
            ("2023-13-14T22:13:20Z", None),
            ("2023-11-14T24:13:20Z", None),
            ("2023-11-14T22:13:20", None),
            ("2023-11-14T22:13Z", None),
            ("-2023-11-14T22:13:20Z", None),
            ("é", None),
            ("Té", None),
        ] {
            assert_eq!(moment(text), want.map(|it| UNIX_EPOCH + Duration::from_secs(it)), "{text}");
        }
    }
}
