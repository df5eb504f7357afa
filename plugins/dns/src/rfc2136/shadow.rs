//! Names of a zone under which queries do not tell what stands there: wildcards, delegations, DNAMEs.
//!
//! What a transfer showed of them is kept in the engine's cache, so that sets can be read back by queries. It may be lost, and
//! it may be old: then a look answers for a wildcard what is not there, which the next transfer puts right.

use trueup_sdk::Json;
use trueup_sdk::host::cache;

use crate::name::Name;
use crate::rdata::Type;
use crate::set::RecordSet;

/// More than this many are not kept: a zone of delegations is transferred.
const MOST: usize = 2_000;

/// A year: until something better displaces it.
const TTL: u64 = 365 * 24 * 3600 * 1000;

/// One name, and whether it hides itself as well as what stands below.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shadow {
    name: Name,
    inclusive: bool,
}

/// All of one zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shadows(Vec<Shadow>);

/// The shadow of one set, if it casts one.
fn shadow(zone: &Name, name: &Name, rtype: Type) -> Option<Shadow> {
    match rtype {
        Type::NS if name != zone => Some(Shadow { name: name.clone(), inclusive: true }),
        Type::DNAME => Some(Shadow { name: name.clone(), inclusive: false }),
        // It answers for all that stands beside it.
        _ if name.is_wildcard() => name.parent().map(|name| Shadow { name, inclusive: false }),
        _ => None,
    }
}

impl Shadows {
    /// Those of a whole zone.
    pub fn of(zone: &Name, sets: &[RecordSet]) -> Self {
        let mut all = sets.iter().filter_map(|it| shadow(zone, &it.name, it.rtype)).collect::<Vec<_>>();
        all.dedup();
        Self(all)
    }

    /// With those of sets that may be new.
    #[must_use]
    pub fn with(mut self, zone: &Name, sets: &[(Name, Type)]) -> Self {
        self.0.extend(sets.iter().filter_map(|(name, rtype)| shadow(zone, name, *rtype)));
        self
    }

    /// Whether a set casts a shadow itself.
    pub fn casts(&self, zone: &Name, name: &Name, rtype: Type) -> bool {
        shadow(zone, name, rtype).is_some()
    }

    /// Whether a query for the name may be answered by something else. A wildcard itself is asked for as any name.
    pub fn hide(&self, name: &Name) -> bool {
        let under = |it: &Shadow| name.is_within(&it.name) && (it.inclusive || *name != it.name);
        let own = |it: &Shadow| !it.inclusive && name.is_wildcard() && name.parent().as_ref() == Some(&it.name);
        self.0.iter().any(|it| under(it) && !own(it))
    }

    /// Keeps them for later looks.
    pub fn keep(&self, server: &str, zone: &Name) {
        let text = match self.0.len() {
            0..=MOST => self.0.iter().map(|it| Json::from(vec![it.name.to_string(), it.inclusive.to_string()])).collect::<Json>(),
            _ => Json::Null,
        };
        cache::put(&key(server, zone), text.to_string().as_bytes(), TTL);
    }

    /// What was kept; none where it was lost, or is too much.
    pub fn load(server: &str, zone: &Name) -> Option<Self> {
        let all = serde_json::from_slice::<Vec<(String, String)>>(&cache::get(&key(server, zone))?).ok()?;
        let read = |(name, inclusive): (String, String)| {
            Some(Shadow { name: Name::absolute(&name).ok()?, inclusive: inclusive == "true" })
        };
        all.into_iter().map(read).collect::<Option<_>>().map(Self)
    }
}

fn key(server: &str, zone: &Name) -> String {
    format!("shadows {server} {zone}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_sdk::double::Double;

    fn name(text: &str) -> Name {
        Name::absolute(text).unwrap()
    }

    fn set(owner: &str, rtype: Type) -> RecordSet {
        RecordSet { name: name(owner), rtype, ttl: 60, values: Vec::new(), raw: Vec::new() }
    }

    #[test]
    fn a_name_is_hidden_by_what_answers_in_its_place() {
        let zone = name("example.com");
        let sets = [
            set("example.com", Type::NS),
            set("*.dyn.example.com", Type::A),
            set("sub.example.com", Type::NS),
            set("old.example.com", Type::DNAME),
            set("www.example.com", Type::A),
        ];
        let shadows = Shadows::of(&zone, &sets);
        for (owner, hidden) in [
            ("example.com", false),
            ("www.example.com", false),
            ("dyn.example.com", false),
            ("a.dyn.example.com", true),
            ("a.b.dyn.example.com", true),
            ("*.dyn.example.com", false),
            ("sub.example.com", true),
            ("ns.sub.example.com", true),
            ("old.example.com", false),
            ("a.old.example.com", true),
        ] {
            assert_eq!(shadows.hide(&name(owner)), hidden, "{owner}");
        }
        let grown = Shadows::default().with(&zone, &[(name("*.example.com"), Type::TXT)]);
        assert!(grown.hide(&name("www.example.com")) && !grown.hide(&name("*.example.com")) && !grown.hide(&zone));
    }

    #[test]
    fn what_was_kept_reads_back_and_what_is_too_much_does_not() {
        let double = Double::install();
        let (zone, server) = (name("example.com"), "dns://127.0.0.1:53");
        assert_eq!(Shadows::load(server, &zone), None);
        let shadows = Shadows::of(&zone, &[set("*.example.com", Type::A), set("sub.example.com", Type::NS)]);
        shadows.keep(server, &zone);
        assert_eq!(Shadows::load(server, &zone), Some(shadows));
        let many = (0..=MOST).map(|it| set(&format!("s{it}.example.com"), Type::NS)).collect::<Vec<_>>();
        Shadows::of(&zone, &many).keep(server, &zone);
        assert_eq!(Shadows::load(server, &zone), None);
        double.lose_cache();
    }
}
