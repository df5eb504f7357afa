//! Changes that are not over when the server has answered: an object that goes once its finalizers have let it, a definition that is
//! not yet served.

use serde::{Deserialize, Serialize};
use trueup_sdk::http::Response;
use trueup_sdk::{Address, Error, Fault, Outcome, Pending, Remote, Result, Settlement};

use crate::error::{Asked, Status};
use crate::fetch::{self, Kinds};
use crate::health;
use crate::kind::Info;
use crate::list::name_of;
use crate::object::Object;
use crate::secret;

/// Definitions of custom resources.
pub const DEFINITION: &str = "CustomResourceDefinition.apiextensions.k8s.io";
/// Milliseconds between two looks.
const AGAIN: u64 = 500;

/// What is waited for, in the handle of an operation.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Wait {
    /// Until it is gone; else until it is established.
    pub gone: bool,
    pub kind: String,
    pub scope: String,
    pub key: String,
    pub uid: String,
}

impl Wait {
    pub fn new(gone: bool, address: &Address, uid: &str) -> Self {
        let Address { kind, scope, key } = address.clone();
        Self { gone, kind, scope, key, uid: uid.to_owned() }
    }

    fn address(&self) -> Address {
        Address { kind: self.kind.clone(), scope: self.scope.clone(), key: self.key.clone() }
    }

    fn pending(&self, message: String, object: Option<Remote>) -> Outcome {
        let operation = serde_json::to_string(self).unwrap_or_default();
        let pending = Pending { operation, after: AGAIN, message, ext: Vec::new() };
        Outcome { settlement: Settlement::Pending(pending), object, diagnostics: Vec::new(), ext: Vec::new() }
    }
}

/// The outcome of a delete whose object is still there.
pub fn going(address: &Address, object: Object, info: &Info) -> Outcome {
    let wait = Wait::new(true, address, &object.meta.uid);
    let message = health::going(&object);
    let mut remote = object.into_remote(info);
    remote.address.clone_from(address);
    wait.pending(message, Some(remote))
}

/// The outcome of an apply: settled, but for a definition that is not yet served.
pub fn applied(address: &Address, object: Object, info: &Info) -> Outcome {
    let established = address.kind != DEFINITION || is_established(&object);
    let wait = Wait::new(false, address, &object.meta.uid);
    let mut remote = object.into_remote(info);
    remote.address.clone_from(address);
    if established {
        return Outcome::settled(Some(remote));
    }
    let message = if remote.health.message.is_empty() { "not established".to_owned() } else { remote.health.message.clone() };
    wait.pending(message, Some(remote))
}

fn is_established(object: &Object) -> bool {
    let mut conditions = object.status.get("conditions").and_then(|it| it.as_array()).into_iter().flatten();
    conditions.any(|it| it.get("type").is_some_and(|it| it == "Established") && it.get("status").is_some_and(|it| it == "True"))
}

/// Looks at what is waited for.
pub fn poll(kinds: &Kinds, handle: &str) -> Outcome {
    let Ok(wait) = serde_json::from_str::<Wait>(handle) else {
        return Outcome::failed(Error::internal("this is no handle of an operation of this plugin").unsettled());
    };
    match look(kinds, &wait) {
        Ok(outcome) => outcome,
        // The change goes on meanwhile.
        Err(error) if matches!(error.fault, Fault::Throttled(_)) => wait.pending(error.message, None),
        Err(error) => Outcome::failed(error.unsettled()),
    }
}

fn look(kinds: &Kinds, wait: &Wait) -> Result<Outcome> {
    let address = wait.address();
    // A namespace takes its kinds' objects along, and a definition its kind.
    let Some(info) = kinds.find(&wait.kind)? else { return Ok(absent(wait)) };
    let response = fetch::get(info.object(&wait.scope, &wait.key)).send()?;
    if response.status() == 404 && Status::of(&response).reason == "NotFound" {
        return Ok(absent(wait));
    }
    let object = seen(&response, wait, &info)?;
    if object.meta.uid != wait.uid && !wait.uid.is_empty() {
        return Ok(absent(wait));
    }
    Ok(if wait.gone { going(&address, object, &info) } else { applied(&address, object, &info) })
}

fn seen(response: &Response, wait: &Wait, info: &Info) -> Result<Object> {
    let what = name_of(&wait.kind, &wait.scope, &wait.key);
    let asked = Asked { verb: "read", what: &what, writes: false, secret: wait.kind == secret::KIND };
    fetch::object(response, asked, info, &wait.address())
}

fn absent(wait: &Wait) -> Outcome {
    if wait.gone {
        return Outcome::settled(None);
    }
    let what = name_of(&wait.kind, &wait.scope, &wait.key);
    Outcome::failed(Error::conflict("k8s.gone", format!("{what} was deleted before it was established")).unsettled())
}
