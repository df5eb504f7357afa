//! Objects without a name (`nameless` of the manifest): whose they are.
//!
//! Their system knows them by an identity of its own, and a document calls one what it likes. Here, before anything is compared, each
//! gets the key of its owner in this environment; what is nobody's goes by its identity. From here on they are objects with names.

use trueup_core::address::Scope;
use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_host as host;

use super::{Declared, Open, Reader};

impl Open {
    /// Gives every object without a key one. Answers the identities of those whose key another object has already: a copy of a mark,
    /// or an object that was made twice.
    pub(super) fn call(&mut self, snapshot: &mut host::Snapshot, declared: &dyn Declared) -> Vec<String> {
        let mut doubled = Vec::new();
        for remote in snapshot.objects.iter_mut().filter(|it| it.address.key.is_empty()) {
            let owner = declared.called(&self.scope, &remote.identity, remote.mark.as_deref());
            remote.address.key = match owner {
                Some(key) if self.called.insert(key.clone()) => key,
                Some(_) => {
                    doubled.push(remote.identity.clone());
                    remote.identity.as_str().into()
                }
                None => remote.identity.as_str().into(),
            };
        }
        doubled
    }
}

impl Reader<'_> {
    /// Says that an object carries the mark of a resource that has one.
    pub(super) fn double(&mut self, scope: &Scope, identity: &str) {
        let text = format!(
            "{} `{identity}` carries the mark of a resource that has another object; delete it if nobody needs it, or take its mark off",
            scope.kind
        );
        self.observation.warnings.push(Diagnostic::warning(codes::OBSERVE_FAILED, self.sealer.mask(&text)));
    }
}
