//! Changes that are not over when their service has answered: what is being made, and what is going.

use serde::{Deserialize, Serialize};
use trueup_sdk::{Address, CallInfo, Error, Fault, HealthState, Lookup, Observation, Outcome, Pending, Remote, Settlement};

use crate::kind::{self, Kind};
use crate::provider::Aws;

/// What is waited for, in the handle of an operation.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Waits {
    /// Until it is gone; else until it is there and ready.
    gone: bool,
    kind: String,
    scope: String,
    key: String,
    identity: String,
}

/// How a change stands whose object was seen.
pub fn judged(kind: &Kind, address: &Address, remote: Remote, gone: bool) -> Outcome {
    let mut remote = remote;
    remote.address.clone_from(address);
    let every = kind.wait.as_ref().map_or(1_000, |it| it.every);
    let identity = remote.identity.clone();
    let words = remote.health.message.clone();
    if gone {
        return pending(address, &identity, true, every, "it is still there", Some(remote));
    }
    match remote.health.state {
        HealthState::Progressing => pending(address, &identity, false, every, &words, Some(remote)),
        HealthState::Degraded => {
            let error = Error::invalid("aws.failed", format!("{} is not as it should be: {words}", address.kind));
            Outcome { object: Some(remote), ..Outcome::failed(error.unsettled()) }
        }
        _ => Outcome::settled(Some(remote)),
    }
}

/// A change that goes on.
pub fn pending(address: &Address, identity: &str, gone: bool, after: u64, message: &str, object: Option<Remote>) -> Outcome {
    let Address { kind, scope, key } = address.clone();
    let waits = Waits { gone, kind, scope, key, identity: identity.to_owned() };
    let operation = serde_json::to_string(&waits).unwrap_or_default();
    let pending = Pending { operation, after, message: message.to_owned(), ext: Vec::new() };
    Outcome { settlement: Settlement::Pending(pending), object, diagnostics: Vec::new(), ext: Vec::new() }
}

/// Looks at all that is waited for, in as few calls as its kinds allow.
pub fn poll(aws: &Aws, handles: &[String], info: &CallInfo) -> Vec<Outcome> {
    let waits: Vec<Option<Waits>> = handles.iter().map(|it| serde_json::from_str(it).ok()).collect();
    let lookups: Vec<Lookup> = waits.iter().flatten().map(Waits::lookup).collect();
    let mut seen = aws.read_all(&lookups, info.now).into_iter();
    let each = |waits: &Option<Waits>| match waits {
        None => Outcome::failed(Error::internal("this is no handle of an operation of this plugin").unsettled()),
        Some(waits) => waits.judge(seen.next()),
    };
    waits.iter().map(each).collect()
}

impl Waits {
    fn address(&self) -> Address {
        Address { kind: self.kind.clone(), scope: self.scope.clone(), key: self.key.clone() }
    }

    fn lookup(&self) -> Lookup {
        let identity = Some(self.identity.clone());
        Lookup { address: self.address(), identity, desired: None, mark: None, token: None, since: None, ext: Vec::new() }
    }

    fn judge(&self, seen: Option<Observation>) -> Outcome {
        let kind = match kind::find(&self.kind) {
            Ok(kind) => kind,
            Err(error) => return Outcome::failed(error.unsettled()),
        };
        let again = |message: &str| pending(&self.address(), &self.identity, self.gone, 1_000, message, None);
        match seen {
            Some(Observation::Found(remote)) => judged(kind, &self.address(), remote, self.gone),
            Some(Observation::Absent) if self.gone => Outcome::settled(None),
            Some(Observation::Absent) => again("it is not to be seen yet"),
            Some(Observation::Failed(failure)) if matches!(failure.fault, Fault::Throttled(_) | Fault::Transient(_)) => {
                let words = failure.diagnostics.first().map(|it| it.summary.clone()).unwrap_or_default();
                again(&words)
            }
            Some(Observation::Failed(failure)) => {
                Outcome { settlement: Settlement::Unsettled(failure), object: None, diagnostics: Vec::new(), ext: Vec::new() }
            }
            Some(Observation::Unchanged) | None => Outcome::failed(Error::internal("a look was left out").unsettled()),
        }
    }
}
