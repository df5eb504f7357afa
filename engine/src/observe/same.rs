//! Objects of which a scan says only that they are as they were.

use trueup_host as host;

use super::{Base, Open, is_marked, memory};

/// What a scan says of an object that has not changed since the version that it was given.
const SAME: &str = "same";
/// What it says of one that it does not tell all of.
pub(super) const UNREAD: &str = "unread";

impl Open {
    /// Takes what is remembered of objects that are as they were. One that is not remembered under the identity and the version that
    /// the scan tells is none of these: it counts as named and not read.
    pub(super) fn recall(&mut self, snapshot: &mut host::Snapshot) {
        if !snapshot.objects.iter().any(|it| is_marked(it, SAME)) {
            return;
        }
        if self.recalled.is_none() {
            let decode = |it: &Base| memory::decode(&self.scope, &it.record);
            self.recalled = Some(self.base.as_ref().and_then(decode).unwrap_or_default());
        }
        let (Some(known), own) = (&mut self.recalled, &self.scope.kind) else { return };
        let mut left = Vec::new();
        for mut remote in std::mem::take(&mut snapshot.objects) {
            if !is_marked(&remote, SAME) {
                left.push(remote);
                continue;
            }
            let as_told = |it: &memory::Remembered| {
                let observed = &it.observed;
                remote.address.scope.kind == *own
                    && *observed.identity == *remote.identity
                    && remote.version.is_some()
                    && observed.version.as_deref() == remote.version.as_deref()
            };
            if let Some(before) = known.remove(&remote.address.key).filter(as_told) {
                self.objects.insert(remote.address.key, before);
            } else {
                remote.ext = vec![(UNREAD.to_owned(), "true".to_owned())];
                left.push(remote);
            }
        }
        snapshot.objects = left;
    }
}
