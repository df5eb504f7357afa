//! Long and short forms of identities.
//!
//! An identity is `alias:Kind[.group]/[namespace/]name`. People may leave out alias, group and namespace as long as one
//! resource answers; they are shown the form without alias and group where that is unambiguous.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::text::shown;
use crate::address::ResourceId;
use crate::diagnostic::{Code, codes};
use crate::schema::suggest;

/// Why a text names no resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// Not of the form `[alias:]Kind[.group]/[namespace/]name`.
    Malformed { text: String },
    /// Nothing answers to it.
    Missing { text: String, hint: Option<String> },
    /// Several answer to it: the first few, in full.
    Ambiguous { text: String, candidates: Vec<String> },
}

impl NameFault {
    /// The code of a finding that reports this.
    pub fn code(&self) -> Code {
        match self {
            Self::Malformed { .. } | Self::Missing { .. } => codes::REFERENCE_MISSING,
            Self::Ambiguous { .. } => codes::REFERENCE_AMBIGUOUS,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Malformed { .. } => Some("write `Kind/name` or `Kind/namespace/name`".to_owned()),
            Self::Missing { hint, .. } => hint.clone(),
            Self::Ambiguous { candidates, .. } => Some(format!("write one of {}", candidates.join(", "))),
        }
    }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { text } => write!(f, "{} is not the name of a resource", shown(text)),
            Self::Missing { text, .. } => write!(f, "no resource {} is declared", shown(text)),
            Self::Ambiguous { text, .. } => write!(f, "several resources answer to {}", shown(text)),
        }
    }
}

impl std::error::Error for NameFault {}

/// A name as people write it.
#[derive(Clone, Copy)]
struct Written<'a> {
    alias: Option<&'a str>,
    kind: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
}

impl<'a> Written<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        // A colon further on is part of a name (`ClusterRole/system:foo`).
        let (alias, local) = match text.split_once(':') {
            Some((alias, local)) if !alias.contains('/') => (Some(alias), local),
            _ => (None, text),
        };
        let mut parts = local.split('/');
        let (kind, second, third) = (parts.next()?, parts.next()?, parts.next());
        let (namespace, name) = third.map_or((None, second), |name| (Some(second), name));
        let whole = [alias, Some(kind), namespace, Some(name)].into_iter().flatten().all(|part| !part.is_empty());
        (whole && parts.next().is_none()).then_some(Self { alias, kind, namespace, name })
    }

    fn matches(&self, id: &ResourceId) -> bool {
        let kind = id.kind();
        let kind_fits = self.kind == kind || !self.kind.contains('.') && self.kind == bare(kind);
        kind_fits
            && self.name == id.name()
            && self.alias.is_none_or(|it| it == id.alias())
            && self.namespace.is_none_or(|it| Some(it) == id.namespace())
    }
}

/// A kind without its group.
fn bare(kind: &str) -> &str {
    kind.split_once('.').map_or(kind, |(bare, _)| bare)
}

/// Finds the resource that a text names among `ids`, by any unambiguous form.
///
/// # Errors
///
/// Says whether nothing or too much answers to it. Looks at every id: for many texts make a [`Shortener`].
pub fn resolve_name<'a>(text: &str, ids: impl IntoIterator<Item = &'a ResourceId>) -> Result<ResourceId, NameFault> {
    Shortener::new(ids.into_iter().cloned()).resolve(text)
}

/// An index of identities that knows each one's shortest form, and what a short form means.
#[derive(Debug, Default)]
pub struct Shortener {
    ids: Vec<ResourceId>,
    /// Sorted: hash of kind and name, and of kind, namespace and name, with the position of the id. Made once there were more
    /// than a few questions.
    hashes: OnceLock<Vec<(u64, u32)>>,
    /// Questions so far.
    asked: AtomicUsize,
}

/// So many questions are answered by looking at every id, which then costs less than to sort them.
const FEW: usize = 8;

impl Shortener {
    /// Takes `ids`, in any order; doubles count once. After a few questions comes a sort of numbers: some ten milliseconds for
    /// 100,000.
    pub fn new(ids: impl IntoIterator<Item = ResourceId>) -> Self {
        Self { ids: ids.into_iter().collect(), hashes: OnceLock::new(), asked: AtomicUsize::new(0) }
    }

    fn hashes(&self) -> &[(u64, u32)] {
        self.hashes.get_or_init(|| {
            let mut hashes = Vec::with_capacity(self.ids.len() * 2);
            for (position, id) in (0_u32..).zip(&self.ids) {
                hashes.push((hash(id.kind(), None, id.name()), position));
                if let Some(namespace) = id.namespace() {
                    hashes.push((hash(id.kind(), Some(namespace), id.name()), position));
                }
            }
            // A resource of many objects comes as often as it has objects: a walk over its doubles at each question would be
            // quadratic.
            let id = |(_, position): &(u64, u32)| self.ids.get(*position as usize);
            hashes.sort_unstable_by(|one, other| one.0.cmp(&other.0).then_with(|| id(one).cmp(&id(other))));
            hashes.dedup_by(|one, other| one.0 == other.0 && id(one) == id(other));
            hashes
        })
    }

    /// The shortest form that people are shown: `Kind/[namespace/]name`, with group or alias only where it takes them.
    pub fn shorten(&self, id: &ResourceId) -> String {
        let (kind, alias_free) = (bare(id.kind()), id.local());
        let short = match id.namespace() {
            Some(namespace) => format!("{kind}/{namespace}/{}", id.name()),
            None => format!("{kind}/{}", id.name()),
        };
        for form in [&short, alias_free] {
            let alone = Written::parse(form).is_some_and(|written| self.matching(written).all(|other| other == id));
            if alone {
                return form.to_owned();
            }
        }
        id.as_str().to_owned()
    }

    /// The resource that a text names.
    ///
    /// # Errors
    ///
    /// Says whether nothing or too much answers to it.
    pub fn resolve(&self, text: &str) -> Result<ResourceId, NameFault> {
        let Some(written) = Written::parse(text) else { return Err(NameFault::Malformed { text: text.to_owned() }) };
        let mut found = Vec::new();
        for id in self.matching(written) {
            if id.as_str() == text {
                return Ok(id.clone());
            }
            found.push(id);
        }
        self.only(text, found, |id| id.as_str().to_owned())
    }

    /// The resource that a text names, where a bare name will do as well as long as one resource has it: for what people
    /// type. Documents name the kind too, so that a new resource elsewhere cannot make them ambiguous.
    ///
    /// # Errors
    ///
    /// As [`Shortener::resolve`].
    pub fn resolve_typed(&self, text: &str) -> Result<ResourceId, NameFault> {
        let named: Vec<&ResourceId> = self.ids.iter().filter(|it| it.name() == text).collect();
        if text.is_empty() || text.contains('/') || (text.contains(':') && named.is_empty()) {
            return self.resolve(text);
        }
        self.only(text, named, |id| self.shorten(id))
    }

    /// The one resource among those `found` for `text`; where there are several they are told apart as `shown`.
    fn only(
        &self,
        text: &str,
        mut found: Vec<&ResourceId>,
        shown: impl Fn(&ResourceId) -> String,
    ) -> Result<ResourceId, NameFault> {
        found.sort_unstable();
        found.dedup();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(NameFault::Missing { text: text.to_owned(), hint: self.suggestion(text) }),
            several => {
                let candidates = several.iter().take(5).map(|id| shown(id)).collect();
                Err(NameFault::Ambiguous { text: text.to_owned(), candidates })
            }
        }
    }

    fn matching<'a>(&'a self, written: Written<'a>) -> impl Iterator<Item = &'a ResourceId> {
        let few = self.asked.fetch_add(1, Ordering::Relaxed) < FEW && self.hashes.get().is_none();
        let hashes = if few { &[] } else { self.hashes() };
        let wanted = hash(written.kind, written.namespace, written.name);
        let from = hashes.partition_point(|(hash, _)| *hash < wanted);
        let group = hashes.get(from..).unwrap_or_default();
        let found = group
            .iter()
            .take_while(move |(hash, _)| *hash == wanted)
            .filter_map(|(_, position)| self.ids.get(*position as usize));
        // However an id is written, it ends in the name.
        let all = if few { self.ids.as_slice() } else { &[] };
        let all = all.iter().filter(move |it| it.as_str().ends_with(written.name));
        all.chain(found).filter(move |id| written.matches(id))
    }

    fn suggestion(&self, text: &str) -> Option<String> {
        let local = |id: &'_ ResourceId| match id.namespace() {
            Some(namespace) => format!("{}/{namespace}/{}", bare(id.kind()), id.name()),
            None => format!("{}/{}", bare(id.kind()), id.name()),
        };
        // What was written is no suggestion, even where it would be right for another alias.
        let mut forms: Vec<String> = self.ids.iter().map(local).filter(|it| it != text).collect();
        forms.sort_unstable();
        forms.dedup();
        // The nearest names are looked for among those that begin alike, then among all.
        let start = text.chars().take_while(|it| *it != '/').count() + 2;
        let alike = |form: &&str| form.chars().take(start).eq(text.chars().take(start));
        let all = || forms.iter().map(String::as_str);
        suggest::did_you_mean(text, all().filter(alike)).or_else(|| suggest::did_you_mean(text, all()))
    }
}

/// The same in every process.
fn hash(kind: &str, namespace: Option<&str>, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (bare(kind), namespace, name).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<ResourceId> {
        let texts = [
            "k8s:Deployment.apps/shop/web",
            "k8s:Service/shop/web",
            "k8s:Service/blog/web",
            "dns:RecordSet/www",
            "old:RecordSet/www",
            "k8s:Ingress.networking.k8s.io/shop/web",
            "k8s:Ingress.extensions/shop/web",
            "site:File/motd",
            "k8s:ClusterRole.rbac.authorization.k8s.io/system:foo",
        ];
        texts.iter().map(|it| ResourceId::parse(it).unwrap()).collect()
    }

    #[track_caller]
    fn check(text: &str, want: Result<&str, Code>) {
        // The first questions look at every id, the later ones at a sorted index.
        let sorted = Shortener::new(ids());
        sorted.hashes();
        for got in [resolve_name(text, &ids()), sorted.resolve(text)] {
            assert_eq!(got.as_ref().map(ResourceId::as_str).map_err(NameFault::code), want, "{text}");
        }
    }

    #[test]
    fn a_resource_of_many_objects_stands_in_the_index_once() {
        let zone = ResourceId::parse("dns:ZoneFile/zone").unwrap();
        let names = Shortener::new(std::iter::repeat_n(zone.clone(), 1000).chain(ids()));
        assert_eq!(names.shorten(&zone), "ZoneFile/zone");
        assert_eq!(names.hashes().len(), Shortener::new(ids()).hashes().len() + 1);
        assert_eq!(names.matching(Written::parse("ZoneFile/zone").unwrap()).count(), 1);
        assert_eq!(names.shorten(&zone), "ZoneFile/zone");
    }

    #[test]
    fn any_unambiguous_form_names_a_resource() {
        check("k8s:Deployment.apps/shop/web", Ok("k8s:Deployment.apps/shop/web"));
        check("Deployment/shop/web", Ok("k8s:Deployment.apps/shop/web"));
        check("Deployment.apps/web", Ok("k8s:Deployment.apps/shop/web"));
        check("Deployment/web", Ok("k8s:Deployment.apps/shop/web"));
        check("Service/blog/web", Ok("k8s:Service/blog/web"));
        check("old:RecordSet/www", Ok("old:RecordSet/www"));
        check("File/motd", Ok("site:File/motd"));
        check("ClusterRole/system:foo", Ok("k8s:ClusterRole.rbac.authorization.k8s.io/system:foo"));
        check("k8s:ClusterRole/system:foo", Ok("k8s:ClusterRole.rbac.authorization.k8s.io/system:foo"));
    }

    #[test]
    fn a_form_that_nothing_or_too_much_answers_to_is_refused() {
        check("Service/web", Err(codes::REFERENCE_AMBIGUOUS));
        check("RecordSet/www", Err(codes::REFERENCE_AMBIGUOUS));
        check("Ingress/shop/web", Err(codes::REFERENCE_AMBIGUOUS));
        for text in ["File/mote", "web", "File/", "a/b/c/d", "dns:File/motd", "Deployment.batch/web", ":File/motd", ""] {
            check(text, Err(codes::REFERENCE_MISSING));
        }
    }

    #[test]
    fn a_bare_name_will_do_for_people_where_one_resource_has_it() {
        let shortener = Shortener::new(ids());
        assert_eq!(shortener.resolve_typed("motd").unwrap().as_str(), "site:File/motd");
        assert_eq!(shortener.resolve_typed("File/motd").unwrap().as_str(), "site:File/motd");
        assert_eq!(shortener.resolve_typed("system:foo").unwrap().name(), "system:foo");
        let fault = shortener.resolve_typed("www").unwrap_err();
        assert_eq!(fault.hint().as_deref(), Some("write one of dns:RecordSet/www, old:RecordSet/www"));
        assert_eq!(shortener.resolve_typed("nope").unwrap_err().code(), codes::REFERENCE_MISSING);
        assert_eq!(shortener.resolve_typed("").unwrap_err().code(), codes::REFERENCE_MISSING);
    }

    #[test]
    fn a_misspelt_name_gets_a_suggestion() {
        let fault = resolve_name("File/mothd", &ids()).unwrap_err();
        assert_eq!(fault.hint().as_deref(), Some("did you mean `File/motd`?"));
    }

    #[test]
    fn the_shortest_form_names_its_resource_again() {
        let shortener = Shortener::new(ids());
        let short: Vec<String> = ids().iter().map(|id| shortener.shorten(id)).collect();
        assert_eq!(short[..4], ["Deployment/shop/web", "Service/shop/web", "Service/blog/web", "dns:RecordSet/www"]);
        assert_eq!(short[5], "Ingress.networking.k8s.io/shop/web");
        for (id, short) in ids().iter().zip(&short) {
            assert_eq!(shortener.resolve(short).as_ref(), Ok(id), "{short}");
        }
    }

    #[test]
    fn an_identity_without_a_namespace_is_not_mistaken_for_one_with_it() {
        let ids = ["k8s:Role/x", "k8s:Role/shop/x"].map(|it| ResourceId::parse(it).unwrap());
        let shortener = Shortener::new(ids.clone());
        assert_eq!(shortener.shorten(&ids[0]), "k8s:Role/x");
        assert_eq!(shortener.resolve("k8s:Role/x").unwrap(), ids[0]);
        assert_eq!(shortener.shorten(&ids[1]), "Role/shop/x");
    }
}
