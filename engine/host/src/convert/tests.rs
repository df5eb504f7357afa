use std::sync::Arc;

use super::Reader;
use crate::services::NoServices;

#[test]
fn what_is_observed_holds_nothing_unknown_reserved_or_out_of_bounds_however_it_is_spelt() {
    let provider: Arc<str> = "a".into();
    let reader = Reader { provider: &provider, services: &NoServices, document: 1 << 20, kinds: None };
    let good = [
        r#"{}"#,
        r#"{"spec":{"a":"b","n":9007199254740992,"list":[null,1.5e300]}}"#,
        r#"{"spec":{"price":"5 $","back":"a\\b","secret":{"$secret":"","hmac":"00"}}}"#,
    ];
    for text in good {
        assert!(reader.observed(text, "doc").is_ok(), "{text}: {:?}", reader.observed(text, "doc"));
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(70), "]".repeat(70));
    let bad = [
        (r#"{"a":{"$unknown":"Kind/name"}}"#, "holds a `$unknown` object"),
        (r#"{"a":{"\u0024unknown":"Kind/name"}}"#, "holds a `$unknown` object"),
        (r#"{"a":{"\u0024secret":1}}"#, "holds a `$secret` object"),
        (r#"{"a":"\u0000"}"#, "holds a NUL"),
        (r#"{"a\u0000":1}"#, "holds a NUL"),
        (r#"{"a":9007199254740993}"#, "beyond 2^53"),
        (deep.as_str(), "nested deeper"),
        ("[]", "is no JSON object"),
        ("{", "is no JSON text"),
    ];
    for (text, rule) in bad {
        let refused = reader.observed(text, "doc").expect_err(text);
        assert!(refused.contains(rule), "{text}: {refused}");
    }
    let waiting = r#"{"a":{"$unknown":"Kind/name"}}"#;
    assert!(reader.document(waiting, "doc").is_ok(), "what is rendered may wait");
}
