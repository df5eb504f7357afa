//! Names of things: resources as people declare them, objects as remote systems hold them.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// Full identity of a resource: `alias:Kind[.group]/[namespace/]name`, as stored and as marks carry it.
///
/// Cheap to clone. Equality and order are those of the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(Arc<str>);

impl ResourceId {
    /// Builds the identity from its parts. `kind` carries its group where it has one (`Deployment.apps`).
    pub fn new(alias: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        match namespace {
            Some(namespace) => Self(format!("{alias}:{kind}/{namespace}/{name}").into()),
            None => Self(format!("{alias}:{kind}/{name}").into()),
        }
    }

    /// Reads back what [`ResourceId::as_str`] gave. None where the text is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let (alias, rest) = text.split_once(':')?;
        let mut parts = rest.split('/');
        let (kind, name) = (parts.next()?, parts.next()?);
        let more = parts.next();
        let whole = !alias.is_empty() && !kind.is_empty() && !name.is_empty() && more != Some("") && parts.next().is_none();
        whole.then(|| Self(text.into()))
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Alias of the provider that owns the resource.
    pub fn alias(&self) -> &str {
        self.0.split_once(':').map_or("", |(alias, _)| alias)
    }

    /// Kind, with its group where it has one.
    pub fn kind(&self) -> &str {
        self.local().split('/').next().unwrap_or_default()
    }

    /// Namespace, where the kind has one.
    pub fn namespace(&self) -> Option<&str> {
        let mut parts = self.local().split('/').skip(1);
        let first = parts.next()?;
        parts.next().map(|_| first)
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.local().rsplit('/').next().unwrap_or_default()
    }

    /// The same under another alias.
    #[must_use]
    pub fn under(&self, alias: &str) -> Self {
        Self(format!("{alias}:{}", self.local()).into())
    }

    /// The identity without its alias: `Kind[.group]/[namespace/]name`.
    pub fn local(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(_, local)| local)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A part of a remote system that can be listed at once: a directory, a zone, a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Alias of the provider.
    pub provider: Arc<str>,
    /// Kind, with its group where it has one.
    pub kind: Arc<str>,
    /// Empty for kinds without scopes.
    pub scope: Arc<str>,
}

/// Names one concrete object of a remote system, whatever resource it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Where it can be listed.
    pub scope: Scope,
    /// Unique within the scope, and stable from commit to commit.
    pub key: Arc<str>,
}

impl Address {
    /// Builds an address from its four parts.
    pub fn new(provider: &str, kind: &str, scope: &str, key: &str) -> Self {
        Self { scope: Scope { provider: provider.into(), kind: kind.into(), scope: scope.into() }, key: key.into() }
    }

    /// Where the object is within its provider and kind, for messages: as [`place`].
    pub fn local(&self) -> String {
        place(&self.scope.scope, &self.key)
    }
}

/// Addresses to be told apart from many others. Most have another key, which costs a fraction of hashing all of an address.
#[derive(Debug, Default)]
pub struct Sought<'a> {
    keys: HashSet<&'a str>,
    addresses: HashSet<&'a Address>,
}

impl<'a> FromIterator<&'a Address> for Sought<'a> {
    fn from_iter<I: IntoIterator<Item = &'a Address>>(addresses: I) -> Self {
        let addresses: HashSet<&Address> = addresses.into_iter().collect();
        Self { keys: addresses.iter().map(|it| &*it.key).collect(), addresses }
    }
}

impl Sought<'_> {
    /// Whether it is one of them.
    pub fn contains(&self, address: &Address) -> bool {
        self.keys.contains(&*address.key) && self.addresses.contains(address)
    }
}

/// `[scope/]key`, for messages.
pub fn place(scope: &str, key: &str) -> String {
    if scope.is_empty() { key.to_owned() } else { format!("{scope}/{key}") }
}

impl fmt::Display for Address {
    /// `provider:Kind scope/key`, for messages only: it is not parsed back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {}", self.scope.provider, self.scope.kind, self.local())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<(&str, &str, Option<&str>, &str)>) {
        let id = ResourceId::parse(text);
        assert_eq!(id.as_ref().map(|it| (it.alias(), it.kind(), it.namespace(), it.name())), want, "{text}");
    }

    #[test]
    fn an_identity_reads_back_into_its_parts() {
        check("k8s:Deployment.apps/shop/web", Some(("k8s", "Deployment.apps", Some("shop"), "web")));
        check("site:File/motd", Some(("site", "File", None, "motd")));
        check("File/motd", None);
        check("a:K/n/m/x", None);
        check("a:K/", None);
        check("a:K/n/", None);
    }
}
