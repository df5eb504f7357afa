use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::diagnostic::codes;

/// Reads a text that must be refused as too large or too deep, soon.
#[track_caller]
fn refused(path: &str, text: &str) {
    let start = Instant::now();
    let (documents, findings) = parse(&path.into(), text.as_bytes(), &Limits::default());
    let took = start.elapsed();
    assert!(documents.is_empty() && findings.iter().any(|it| it.code == codes::DOCUMENT_LIMIT), "{findings:?}");
    // Generous, as tests share their machine: what it guards against takes minutes.
    assert!(took < Duration::from_secs(20), "took {took:?}");
}

#[test]
fn a_billion_laughs_are_not_laughed() {
    let mut text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (from, to) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        text += &format!("{to}: &{to} [*{from},*{from},*{from},*{from},*{from},*{from},*{from},*{from},*{from},*{from}]\n");
    }
    refused("a.yaml", &text);
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(100));
    refused("a.yaml", &long);
}

#[test]
fn an_alias_inside_its_own_value_is_an_error() {
    let (documents, findings) = parse(&"a.yaml".into(), b"a: &a [1, *a]\n", &Limits::default());
    assert!(documents.is_empty());
    assert!(findings[0].message.contains("inside the value that it names"), "{findings:?}");
}

#[test]
fn aliases_within_their_budget_are_copies() {
    let text = format!("a: &a {{x: 1}}\nb: [{}]\n", "*a,".repeat(4_999));
    let (documents, findings) = parse(&"a.yaml".into(), text.as_bytes(), &Limits::default());
    assert_eq!((documents.len(), findings.len()), (1, 0));
    refused("a.yaml", &format!("a: &a {{x: 1}}\nb: [{}]\n", "*a,".repeat(5_001)));
}

#[test]
fn anchors_without_end_cost_a_document_and_no_more() {
    let text = format!("a: [{}]\nb: *z\n", "&z x,".repeat(150_000));
    refused("a.yaml", &text);
}

#[test]
fn nesting_without_end_is_refused_in_every_style() {
    let many = 100_000;
    refused("a.yaml", &"[".repeat(many));
    refused("a.yaml", &format!("a: {}", "[".repeat(many)));
    refused("a.yaml", &format!("a: {}{}", "[".repeat(many), "]".repeat(many)));
    refused("a.yaml", &"{a: ".repeat(many));
    refused("a.yaml", &"- ".repeat(many));
    refused("a.json", &"[".repeat(many));
    refused("a.json", &"{\"a\":".repeat(many));
    let block: String = (0..2_000).map(|it| format!("{}a:\n", " ".repeat(it))).collect();
    refused("a.yaml", &block);
    refused("a.yaml", &format!("a: &a {}x{}\nb: {}*a{}\n", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40)));
}

#[test]
fn brackets_hidden_in_quotes_do_not_buy_time() {
    let deep = "[\"]]]]]]]]\", ".repeat(20_000);
    refused("a.yaml", &deep);
}

#[test]
fn sixty_four_levels_are_fine_and_one_more_is_not() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    for path in ["a.yaml", "a.json"] {
        let (documents, findings) = parse(&path.into(), nested(64).as_bytes(), &Limits::default());
        assert_eq!((documents.len(), findings.len()), (1, 0), "{path}");
        refused(path, &nested(65));
    }
}

#[test]
fn a_large_text_full_of_brackets_is_no_deep_document() {
    let text = format!("a: |\n{}b: \"{}\"\n", "  [[[{{{\n".repeat(50_000), "[{".repeat(50_000));
    let (documents, findings) = parse(&"a.yaml".into(), text.as_bytes(), &Limits::default());
    assert_eq!((documents.len(), findings.len()), (1, 0), "{findings:?}");
}

#[test]
fn documents_and_files_have_a_size() {
    let text = format!("a: 1\n---\nb: {}\n---\nc: 1\n", "x".repeat(4 << 20));
    let (documents, findings) = parse(&"a.yaml".into(), text.as_bytes(), &Limits::default());
    assert_eq!((documents.len(), findings.len()), (2, 1));
    assert_eq!(findings[0].code, codes::DOCUMENT_LIMIT);
    refused("a.yaml", &" ".repeat((16 << 20) + 1));
}

#[test]
fn ten_thousand_documents_in_a_file_are_all_read_and_the_last_may_be_broken() {
    let mut text = "a: 1\n---\n".repeat(10_000);
    text += "b: \"x";
    let (documents, findings) = parse(&"a.yaml".into(), text.as_bytes(), &Limits::default());
    assert_eq!((documents.len(), findings.len()), (10_000, 1));
    assert_eq!(findings[0].location.as_ref().map(|it| it.line), Some(20_001));
}

#[test]
fn keys_with_hidden_characters_are_refused() {
    for text in ["\"a\\u202eb\": 1", "\"a\\u200b\": 1", "a\u{200d}b: 1", "\"\\e[31m\": 1"] {
        let (_, findings) = parse(&"a.yaml".into(), text.as_bytes(), &Limits::default());
        assert_eq!(findings.first().map(|it| it.code), Some(codes::ENCODING), "{text}");
        assert!(!findings[0].message.contains(['\u{202e}', '\u{200b}', '\u{1b}']), "{text}");
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused_and_shown_harmless() {
    for name in ["../../x", "<script>", "%2e%2e%2f", "a b", "..", ".", "a/b", "a:b", "ä", "a\\u001b[31m", ""] {
        let long = format!("apiVersion: site/v1\nkind: File\nmetadata: {{name: \"{name}\"}}\nspec: {{path: x}}\n");
        let done = Case::new().file("base", "a.yaml", long).run();
        assert_eq!(done.diagnostics.first().map(|it| it.code), Some(codes::NAME), "{name}");
        assert!(!done.diagnostics[0].message.contains('\u{1b}'));
        assert!(done.resources.is_empty());
    }
    let case = Case::new().file("base", "a.yaml", file(&"x".repeat(254), "content: x"));
    assert!(said(&case.run())[0].contains("has 254 characters, and 253 are allowed"));
    for name in ["con", "__proto__", "a.b_c*@-", "x"] {
        assert_eq!(Case::new().file("base", "a.yaml", file(name, "content: x")).docs().len(), 1, "{name}");
    }
}

#[test]
fn values_of_expressions_have_a_size_together() {
    let mut case = Case::new();
    case.vars = json!({"big": "x".repeat(1 << 20)});
    let many = format!("note: [{}]", "\"${{ vars.big }}\", ".repeat(5));
    let said = said(&case.file("base", "a.yaml", file("a", &many)).run());
    assert!(said.iter().any(|it| it.contains("too large together")), "{said:?}");
}

#[test]
fn a_document_full_of_errors_says_enough_and_stops() {
    let many = format!("note: [{}]", "\"${{ vars.gone }}\", ".repeat(1_000));
    assert_eq!(Case::new().file("base", "a.yaml", file("a", &many)).run().diagnostics.len(), 50);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_pair_of_layers_makes_the_evaluation_panic(
        base in "[-a0:,&*!|>'\"{}\\[\\]ä$ \n]{0,60}",
        over in "(\\$\\{\\{ (vars|self|ref)[.a('/)]{0,12} \\}\\}|[-a0:,'\"{}$ ]){0,12}",
    ) {
        let text = |note: &str| format!("apiVersion: k8s/v1\nkind: ConfigMap\nmetadata: {{name: x}}\nspec:\n  note: {note}\n  l: [{note}]\n");
        let case = Case::new().file("base", "a.yaml", text(&base)).file("prod", "b.yaml", text(&over));
        case.run();
        let id = ResourceId::parse("k8s:ConfigMap/x").unwrap();
        case.with_input(|input| provenance(input, &id, &Path::parse("spec").unwrap()));
    }
}
