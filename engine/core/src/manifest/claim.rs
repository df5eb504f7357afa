//! What a document claims beyond its own object: `claims` and `claimsExcept` of its kind.

use super::Kind;
use crate::value::Json;

/// A document's claim to every object of its scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Patterns over keys that are left alone.
    pub except: Vec<String>,
}

impl Claim {
    /// Whether the claim is about the object with this key.
    pub fn covers(&self, key: &str) -> bool {
        !self.except.iter().any(|it| matches(it, key))
    }

    /// Whether everything that `self` is about was claimed by `old` already, as far as the patterns' texts tell.
    pub fn within(&self, old: &Self) -> bool {
        old.except.iter().all(|it| self.except.contains(it))
    }
}

impl Kind {
    /// The claim of a document of this kind. None unless its field is true, and where its exceptions are not all known: what
    /// nobody knows to be claimed is not.
    pub fn claim(&self, document: &Json) -> Option<Claim> {
        let claims = self.claims.as_ref()?.get(document) == Some(&Json::Bool(true));
        let except = match self.claims_except.as_ref().and_then(|it| it.get(document)) {
            None | Some(Json::Null) => Vec::new(),
            Some(Json::Array(items)) => items.iter().map(|it| it.as_str().map(str::to_owned)).collect::<Option<_>>()?,
            Some(_) => return None,
        };
        claims.then_some(Claim { except })
    }
}

/// Whether `text` is of the form of `pattern`, in which `*` stands for any characters. In time of at most their product.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut from) = (0, 0);
    // Where the last star was, and how far it has reached.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(from) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(want) if want.eq_ignore_ascii_case(byte) => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((place, reach)) = star else { return false };
                star = Some((place, reach + 1));
                at = place + 1;
                from = reach + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|it| *it == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::json;

    #[track_caller]
    fn check(pattern: &str, key: &str, left_alone: bool) {
        let claim = Claim { except: vec![pattern.to_owned()] };
        assert_eq!(!claim.covers(key), left_alone, "{pattern} {key}");
    }

    #[test]
    fn a_star_stands_for_any_characters_and_case_does_not_matter() {
        check("www", "WWW", true);
        check("www", "wwww", false);
        check("_acme-challenge.*", "_ACME-challenge.www", true);
        check("*.dyn", "a.b.dyn", true);
        check("*.dyn", "dyn", false);
        check("*", "", true);
        check("", "", true);
        check("", "a", false);
        check("a*b*c", "aXbYbZc", true);
        check("a*b*c", "acb", false);
        check("**a**", "bab", true);
        check("ä*", "äb", true);
        check("ä", "Ä", false);
        check("a?", "ab", false);
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_its_product_with_the_key() {
        let begun = std::time::Instant::now();
        check(&"*a".repeat(500), &"b".repeat(10_000), false);
        check(&format!("{}b", "*a".repeat(500)), &"a".repeat(10_000), false);
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn a_document_claims_only_where_all_of_it_is_known() {
        let manifest = |kind: Json| {
            let manifest = json!({"format": 1, "name": "x", "version": "1", "kinds": {"K": kind}});
            Kind::clone(&crate::manifest::Manifest::parse(&manifest).unwrap().kinds["K"])
        };
        let kind = manifest(json!({"schema": {}, "claims": "/spec/all", "claimsExcept": "/spec/ignore"}));
        let claim = |spec: Json| kind.claim(&json!({ "spec": spec })).map(|it| it.except);
        assert_eq!(claim(json!({"all": true})), Some(vec![]));
        assert_eq!(claim(json!({"all": true, "ignore": null})), Some(vec![]));
        assert_eq!(claim(json!({"all": true, "ignore": ["a", "b*"]})), Some(vec!["a".to_owned(), "b*".to_owned()]));
        for none in [
            json!({}),
            json!({"all": false}),
            json!({"all": "true"}),
            json!({"all": 1}),
            json!({"all": {"$unknown": "K/x"}}),
            json!({"all": true, "ignore": {"$unknown": "K/x"}}),
            json!({"all": true, "ignore": "a"}),
            json!({"all": true, "ignore": ["a", {"$unknown": "K/x"}]}),
            json!({"all": true, "ignore": [1]}),
        ] {
            assert_eq!(claim(none.clone()), None, "{none}");
        }
        assert_eq!(manifest(json!({"schema": {}})).claim(&json!({"spec": {"all": true}})), None);
    }

    #[test]
    fn a_claim_is_within_an_older_one_that_left_no_more_alone() {
        let claim = |except: &[&str]| Claim { except: except.iter().map(|it| (*it).to_owned()).collect() };
        assert!(claim(&[]).within(&claim(&[])) && claim(&["a"]).within(&claim(&[])) && claim(&["a", "b"]).within(&claim(&["b"])));
        assert!(!claim(&[]).within(&claim(&["a"])) && !claim(&["b"]).within(&claim(&["a"])));
    }
}
