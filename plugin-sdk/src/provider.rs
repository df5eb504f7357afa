//! The trait that a provider implements, in the contract's own records.
//!
//! Most providers are written one level higher, with [`Crud`](crate::Crud) or [`Scan`](crate::Scan) for each kind and
//! the `#[provider]` attribute, which implements this trait. Implement it by hand where a provider's calls do not fit
//! that shape.

use crate::{
    CallInfo, Candidate, Change, Declared, Desired, Discovered, Error, Health, HealthState, Json, Lookup, Observation, Outcome,
    Remote, Rendered, Result, ScopeQuery, Snapshot, Stored, Verdict,
};

/// One configured provider.
///
/// # Guarantees
/// A list that a function returns is brought to the length of the list it was given: what is missing becomes an
/// `internal` failure of that item, what is too much is dropped.
///
/// # Assumptions
/// The engine may start any number of instances and drop one between two calls, so fields are a cache, nothing more.
/// Functions without `self` are PURE: they see their arguments alone and no import but `log` and `blobs`.
pub trait Provider: Sized + 'static {
    /// The manifest, as `wit/manifest.schema.json` describes it.
    fn manifest() -> Json;

    /// First call on every instance. No network.
    ///
    /// # Errors
    /// Where the settings cannot work together, although each is valid under the manifest's schema.
    fn configure(config: Json, kinds: Option<Json>) -> Result<Self>;

    /// All objects of each scope, a page at a time. Reads only.
    fn scan(&self, queries: Vec<ScopeQuery>, info: &CallInfo) -> Vec<Result<Snapshot>> {
        let _ = info;
        queries
            .iter()
            .map(|query| Err(Error::unsupported(format!("objects of kind `{}` cannot be listed", query.kind))))
            .collect()
    }

    /// Named objects. Reads only.
    fn read(&self, lookups: Vec<Lookup>, info: &CallInfo) -> Vec<Observation> {
        let _ = info;
        let unsupported =
            |it: &Lookup| Error::unsupported(format!("objects of kind `{}` cannot be read one by one", it.address.kind));
        lookups.iter().map(|lookup| Observation::Failed(unsupported(lookup).into())).collect()
    }

    /// Carries changes out; several only where the manifest gives the kind a batch limit.
    fn apply(&self, changes: Vec<Change>, info: &CallInfo) -> Vec<Outcome>;

    /// PURE. From declarations to concrete objects. By default the declaration is the object.
    fn render(items: Vec<Declared>) -> Vec<Rendered> {
        let same = |it: Declared| Desired { address: it.address, doc: it.doc, after: Vec::new(), ext: Vec::new() };
        items.into_iter().map(|it| Rendered { objects: vec![same(it)], diagnostics: Vec::new() }).collect()
    }

    /// A say in the plan. Reads only. By default the engine's plan stands.
    fn refine(&self, candidates: Vec<Candidate>, info: &CallInfo) -> Vec<Verdict> {
        let _ = info;
        candidates.iter().map(|_| Verdict::Accept).collect()
    }

    /// Looks after changes that were `pending`. By default nothing ever is.
    fn poll(&self, handles: Vec<String>, info: &CallInfo) -> Vec<Outcome> {
        let _ = info;
        let unsupported = || Error::unsupported("this provider has no operations that take time").unsettled();
        handles.iter().map(|_| Outcome::failed(unsupported())).collect()
    }

    /// Best effort; followed by a `poll`.
    fn cancel(&self, handles: Vec<String>, info: &CallInfo) {
        let _ = (handles, info);
    }

    /// Kinds that only the remote system knows. Reads only.
    ///
    /// # Errors
    /// `unsupported` by default: the manifest names every kind.
    fn discover(&self, since: Option<String>, info: &CallInfo) -> Result<Discovered> {
        let _ = (since, info);
        Err(Error::unsupported("the manifest names every kind of this provider"))
    }

    /// Scopes that exist. Reads only.
    ///
    /// # Errors
    /// `unsupported` by default: only declared scopes are looked at.
    fn scopes(&self, kind: &str, info: &CallInfo) -> Result<Vec<String>> {
        let _ = info;
        Err(Error::unsupported(format!("scopes of kind `{kind}` cannot be listed")))
    }

    /// PURE. Documents written by an older version of the plugin. By default they are as they were.
    fn upgrade(items: Vec<Stored>) -> Vec<Result<Stored>> {
        items.into_iter().map(Ok).collect()
    }

    /// PURE. Health of objects that another plugin observed. By default unknown: what was observed stands.
    fn assess(objects: Vec<Remote>) -> Vec<Health> {
        objects.iter().map(|_| Health { state: HealthState::Unknown, message: String::new() }).collect()
    }
}
