//! `trueup plugin test`: whether a component keeps the contract, found out by running it.
//!
//! The component is called through the sandbox exactly as the engine calls it, against the server of `plugin.yaml`, with a
//! [tap](watch) between both that sees every request and can break it. What makes this different from an engine is only what it is
//! curious about: it asks twice, in two instances, after a cut, with the server's answers changed.
//!
//! Invariant: no check knows of another. Each has a world of its own ([`world`]), and a crash, a refusal or a server that does not
//! start ends that check alone.

mod acts;
mod badge;
mod checks;
mod fields;
mod server;
mod watch;
mod world;

use std::time::{Duration, Instant};

use serde_json::json;
use trueup_core::value::Json;

pub use badge::badge;
pub use server::kill_all;
pub use world::Bench;

/// How long one check may take, beside what the budget's objects need.
const CHECK: Duration = Duration::from_secs(180);

/// What the report calls its own form.
pub const FORMAT: &str = "trueup.conformance/1";

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    /// There is nothing here that the check is about; the detail says why.
    Skipped,
}

impl Outcome {
    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One check that was run.
#[derive(Clone, Debug)]
pub struct Checked {
    pub name: &'static str,
    pub about: &'static str,
    pub outcome: Outcome,
    /// What was found, or why not, and what to do.
    pub detail: String,
    /// The detail without what is another one in each world: alike where the cause is.
    pub cause: String,
    pub ms: u64,
}

/// Everything that was found out about a component.
#[derive(Clone, Debug)]
pub struct Report {
    pub plugin: String,
    pub version: String,
    pub sha256: String,
    /// `trueup:provider@0.1.0`
    pub contract: String,
    pub checks: Vec<Checked>,
}

impl Report {
    /// How many checks ended so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|it| it.outcome == outcome).count()
    }

    /// The report as one JSON value.
    pub fn to_json(&self) -> Json {
        let check = |it: &Checked| json!({"name": it.name, "about": it.about, "outcome": it.outcome.word(), "detail": it.detail, "ms": it.ms});
        json!({
            "format": FORMAT, "plugin": self.plugin, "version": self.version, "sha256": self.sha256, "contract": self.contract,
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
            "passed": self.count(Outcome::Passed), "failed": self.count(Outcome::Failed), "skipped": self.count(Outcome::Skipped),
        })
    }
}

/// Why a check did not pass.
#[derive(Clone, Debug)]
enum Stop {
    Fail(String),
    Skip(String),
}

impl From<String> for Stop {
    fn from(text: String) -> Self {
        Self::Fail(text)
    }
}

impl From<&str> for Stop {
    fn from(text: &str) -> Self {
        Self::Fail(text.to_owned())
    }
}

/// What a check says: what it looked at, where it passed.
type Verdict = Result<String, Stop>;

/// Names of all checks with what each proves, in the order in which they run.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    checks::ALL.iter().map(|it| (it.name, it.about))
}

/// Runs the checks whose names `only` holds, or all of them. `told` is called before each check with its name, and says whether to
/// go on; `done` after it.
pub async fn run(
    bench: &Bench,
    contract: &str,
    only: &[String],
    mut told: impl FnMut(&'static str) -> bool,
    mut done: impl FnMut(&Checked),
) -> Report {
    let mut report = Report {
        plugin: bench.plugin.manifest().name.clone(),
        version: bench.plugin.manifest().version.clone(),
        sha256: bench.plugin.digest().to_string(),
        contract: contract.to_owned(),
        checks: Vec::new(),
    };
    for check in checks::ALL.iter().filter(|it| only.is_empty() || only.iter().any(|name| name == it.name)) {
        if !told(check.name) {
            break;
        }
        let start = Instant::now();
        let limit = CHECK + Duration::from_secs(bench.test.budget.seconds.saturating_mul(8));
        let verdict = match tokio::time::timeout(limit, (check.run)(bench)).await {
            Ok(verdict) => verdict,
            Err(_) => Err(Stop::Fail(format!("it was not over after {} s", limit.as_secs()))),
        };
        let (outcome, detail) = match verdict {
            Ok(detail) => (Outcome::Passed, detail),
            Err(Stop::Fail(detail)) => (Outcome::Failed, detail),
            Err(Stop::Skip(detail)) => (Outcome::Skipped, detail),
        };
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let cause = cause(&detail, &bench.worlds());
        let checked = Checked { name: check.name, about: check.about, outcome, detail, cause, ms };
        done(&checked);
        report.checks.push(checked);
    }
    report
}

/// A text with `#` for each of the ports and folders of the worlds that it may tell of, and with everything else as it is: a
/// number that no world had may be what two causes differ in.
fn cause(detail: &str, worlds: &[String]) -> String {
    let is_in_word = |it: char| it.is_ascii_alphanumeric();
    let mut out = detail.to_owned();
    for own in worlds {
        let mut masked = String::with_capacity(out.len());
        let mut rest = out.as_str();
        while let Some((before, after)) = rest.split_once(own.as_str()) {
            // A port is a number of its own, and no part of a longer one.
            let whole = !before.ends_with(is_in_word) && !after.starts_with(is_in_word);
            masked.push_str(before);
            masked.push_str(if whole { "#" } else { own });
            rest = after;
        }
        masked.push_str(rest);
        out = masked;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_in_two_worlds_is_one_and_causes_that_differ_in_a_number_or_in_what_was_said_are_two() {
        let world = |port: &str, name: &str| vec![format!("/tmp/trueup-test-{name}"), port.to_owned()];
        let (one, two) = (world("40123", "0123456789abcdef"), world("4012", "fedcba9876543210"));
        let ended = |world: &[String], said: &str| {
            let text = format!(
                "it ended before it listened on port {0} (exit status: 3); it said:\n{said} {1}/db:{0}",
                world[1], world[0]
            );
            cause(&text, world)
        };
        assert_eq!(ended(&one, "at"), ended(&two, "at"));
        assert_ne!(ended(&one, "no such user"), ended(&two, "no such database"));
        assert_ne!(cause("1000 objects took too long", &one), cause("2000 objects took too long", &two));
        assert_eq!(cause("140123, 40123a and 40123", &one), "140123, 40123a and #");
        assert_eq!(cause("nothing", &[]), "nothing");
    }
}
