use super::*;
use crate::diagnostic::codes;
use crate::value::unknown;

/// One file `x` beside others, and what its `note` comes to.
#[track_caller]
fn comes_to(note: &str, want: Json) {
    let case = Case::new().file("base", "a.yaml", file("x", &format!("note: {note}"))).file(
        "base",
        "b.yaml",
        file("y", "content: hello, note: {deep: [1, 2]}"),
    );
    let docs = case.docs();
    assert_eq!(docs[0].1["spec"]["note"], want, "{note}");
}

#[track_caller]
fn fails(spec: &str, want: &str) {
    let case = Case::new().file("base", "a.yaml", file("x", spec)).file("base", "b.yaml", file("y", "content: hello"));
    case.says(&[want]);
}

#[test]
fn expressions_keep_their_type_alone_and_become_text_inside_text() {
    comes_to("\"${{ vars.n + 1 }}\"", json!(2));
    comes_to("\"a${{ vars.n }}b\"", json!("a1b"));
    comes_to("[\"${{ vars.list }}\"]", json!([["a", "b"]]));
    comes_to("\"${{ env.name }}.${{ vars.domain }}\"", json!("prod.example.com"));
    comes_to("\"$${{ vars.n }}\"", json!("${{ vars.n }}"));
    comes_to("\"${HOME} {{ .Values.x }}\"", json!("${HOME} {{ .Values.x }}"));
    comes_to("\"${{ ref('File/y').spec.content }}\"", json!("hello"));
    comes_to("\"${{ ref('site:File/y').spec.note.deep[1] }}\"", json!(2));
}

#[test]
fn a_document_may_read_itself_in_the_order_of_its_fields_needs() {
    let spec = "note: {a: \"${{ self.spec.note.b + 1 }}\", b: \"${{ self.spec.note.c + 1 }}\", c: \"${{ vars.n }}\"}";
    let docs = Case::new().file("base", "a.yaml", file("x", spec)).docs();
    assert_eq!(docs[0].1["spec"]["note"], json!({"a": 3, "b": 2, "c": 1}));
    fails(
        "note: {a: \"${{ self.spec.note.b }}\", b: \"${{ self.spec.note.a }}\"}",
        "a.yaml:4:28+23 TU0407 fields of this document depend on each other in a circle: spec.note.a, spec.note.b",
    );
}

#[test]
fn what_is_not_defined_is_an_error_with_a_caret_under_it() {
    let said = |spec: &str| {
        said(&Case::new().file("base", "a.yaml", file("x", spec)).file("base", "b.yaml", file("y", "content: h")).run())
    };
    let starts = |spec: &str, want: &str| {
        let said = said(spec);
        assert!(said.len() == 1 && said[0].starts_with(want), "{said:?}");
    };
    starts("note: \"${{ vars.domian }}\"", "a.yaml:4:33+6 TU0402");
    starts("note: \"ä ${{ ref('File/z').spec.content }}\"", "a.yaml:4:30+13 TU0405 no resource `File/z` is declared");
    starts("note: \"${{ vars.n + }}\"", "a.yaml:4:");
    starts("note: \"${{ vars.n\"", "a.yaml:4:");
}

#[test]
fn a_plain_scalar_cut_by_a_comment_says_to_quote() {
    let text = "apiVersion: site/v1\nkind: File\nmetadata: {name: x}\nspec:\n  path: x\n  note: ${{ vars.n # 1 }}\n";
    let done = Case::new().file("base", "a.yaml", text).run();
    let hint = done.diagnostics[0].hint.clone().unwrap_or_default();
    assert!(hint.contains("double quotes"), "{:?}", done.diagnostics);
}

#[test]
fn expressions_stand_in_values_and_not_in_keys_or_addresses() {
    fails("note: {\"${{ vars.n }}\": 1}", "a.yaml:4:24+15 TU0404 a key cannot hold an expression");
    let text = "apiVersion: site/v1\nkind: File\nmetadata: {name: x}\nspec: {path: \"${{ ref('File/y').spec.content }}\"}\n";
    let case = Case::new().file("base", "a.yaml", text).file("base", "b.yaml", file("y", "content: hello"));
    case.says(&["a.yaml:4:14+35 TU0404 spec.path is part of the object's address, which is needed before anything is evaluated"]);
    let text = text.replace("ref('File/y').spec.content", "vars.domain");
    assert_eq!(Case::new().file("base", "a.yaml", text).docs()[0].1["spec"]["path"], "example.com");
}

#[test]
fn reserved_keys_are_the_engines_alone() {
    fails("note: {$secret: db}", "a.yaml:4:24+7 TU0109 the key `$secret` is the engine's own");
    fails("note: [{$unknown: x}]", "a.yaml:4:25+8 TU0109 the key `$unknown` is the engine's own");
}

#[test]
fn a_status_waits_and_is_filled_in_later() {
    let case = Case::new()
        .file(
            "base",
            "a.yaml",
            file("x", "note: \"see ${{ ref('File/y').status.url }}\", content: \"${{ ref('File/y').spec.content }}\""),
        )
        .file("base", "b.yaml", file("y", "content: hello"))
        .file("base", "c.yaml", file("z", "note: \"${{ ref('File/x').spec.note }}!\""));
    let done = case.run();
    assert_eq!(said(&done), Vec::<String>::new());
    let [x, _, z] = done.resources.as_slice() else { panic!("three resources") };
    assert_eq!((x.waits, &x.doc["spec"]["note"], &x.doc["spec"]["content"]), (true, &unknown("File/y"), &json!("hello")));
    assert_eq!((z.waits, &z.doc["spec"]["note"]), (true, &unknown("File/y")));
    let status = |id: &ResourceId| (id.name() == "y").then(|| json!({"url": "u"}));
    assert_eq!(x.resolve(&status).unwrap()["spec"]["note"], "see u");
    assert_eq!(z.resolve(&status).unwrap()["spec"]["note"], "see u!");
    assert_eq!(z.resolve(&|_| None).unwrap()["spec"]["note"], unknown("File/y"));
    let wrong = x.resolve(&|_| Some(json!({"uri": "u"}))).unwrap_err();
    assert_eq!(
        (wrong.code, wrong.location.map(|it| it.to_string()).as_deref()),
        (codes::EXPRESSION_UNDEFINED, Some("a.yaml:2:7"))
    );
}

#[test]
fn a_secret_of_another_resource_cannot_be_read_through_it() {
    let case = Case::new().file("base", "a.yaml", file("x", "secret: \"${{ secret('db') }}\"")).file(
        "base",
        "b.yaml",
        file("y", "content: \"${{ ref('File/x').spec.secret }}\""),
    );
    let said = said(&case.run());
    assert!(said.len() == 1 && said[0].starts_with("b.yaml:4:") && said[0].contains("TU0408"), "{said:?}");
}

#[test]
fn a_file_of_the_revision_becomes_its_digest() {
    let done = Case::new().file("base", "a.yaml", file("x", "source: ./files/logo.png")).run();
    assert_eq!(done.resources[0].doc["spec"]["source"], crate::value::blob(&Digest::of(b"logo"), 4));
    assert_eq!(&*done.resources[0].blobs[0], "files/logo.png");
    fails("source: files/gone.png", "a.yaml:4:17+22 TU0305 the revision has no file `files/gone.png`");
    fails("source: files/film.mp4", "a.yaml:4:17+22 TU0005 `files/film.mp4` is over the limit of 64 MiB");
}

#[test]
fn what_is_ignored_must_be_a_field_of_the_kind() {
    let ignoring = |path: &str| {
        let head = format!("metadata: {{name: x, annotations: {{trueup.dev/ignore: \"{path}\"}}}}");
        let text = file("x", "content: a").replace("metadata: {name: x}", &head);
        said(&Case::new().file("base", "a.yaml", text).run())
    };
    assert_eq!(ignoring("spec.content"), Vec::<String>::new());
    for wrong in ["spec.contant", "content", "specs.content"] {
        let said = ignoring(wrong);
        assert!(said.len() == 1 && said[0].contains("TU0204") && said[0].contains(wrong), "{said:?}");
    }
}

#[test]
fn references_and_depends_on_are_what_comes_first() {
    let text = "apiVersion: site/v1\nkind: File\nmetadata: {name: x, annotations: {trueup.dev/depends-on: \"File/y, File/z\"}}\nspec: {path: x, note: \"${{ ref('File/w').status.url }}\"}\n";
    let case = ["w", "y", "z"].iter().fold(Case::new().file("base", "a.yaml", text), |case, it| {
        case.file("base", &format!("{it}.yaml"), file(it, "content: x"))
    });
    let after: Vec<String> = case.run().resources[1].after.iter().map(ToString::to_string).collect();
    assert_eq!(after, ["site:File/w", "site:File/y", "site:File/z"]);
    let wrong = text.replace("File/z", "File/q");
    let said = said(&Case::new().file("base", "a.yaml", wrong).run());
    assert!(said.iter().any(|it| it.contains("trueup.dev/depends-on: no resource `File/q` is declared")), "{said:?}");
}

#[test]
fn circles_are_named_whatever_their_length() {
    let link = |name: &str, to: &str| file(name, &format!("note: \"${{{{ ref('File/{to}').spec.path }}}}\""));
    Case::new()
        .file("base", "a.yaml", link("x", "x"))
        .says(&["a.yaml:2:7+4 TU0407 resources depend on each other in a circle: `File/x` → `File/x`"]);
    let case = Case::new().file("base", "a.yaml", link("x", "y")).file("base", "b.yaml", link("y", "x"));
    case.says(&["a.yaml:2:7+4 TU0407 resources depend on each other in a circle: `File/x` → `File/y` → `File/x`"]);
    let ring: String = (0..10_000).map(|it| link(&format!("f{it}"), &format!("f{}", (it + 1) % 10_000)) + "---\n").collect();
    let said = said(&Case::new().file("base", "ring.yaml", ring).run());
    assert!(said.len() == 1 && said[0].contains("… (10000 in all)"), "{said:?}");
}

#[test]
fn a_long_chain_is_evaluated_and_settled_without_stack() {
    const LINKS: usize = 20_000;
    let link = |at: usize| match at {
        0 => file("f0", "note: \"${{ ref('File/root').status.url }}\""),
        _ => file(&format!("f{at}"), &format!("note: \"${{{{ ref('site:File/f{}').spec.note }}}}\"", at - 1)),
    };
    let chain: String = (0..LINKS).map(|at| link(at) + "---\n").collect();
    let done = Case::new().file("base", "chain.yaml", chain).file("base", "r.yaml", file("root", "content: x")).run();
    assert_eq!((done.resources.len(), done.diagnostics.len()), (LINKS + 1, 0));
    let last = done.resources.iter().find(|it| it.name.as_ref() == format!("f{}", LINKS - 1)).unwrap();
    assert_eq!(last.doc["spec"]["note"], unknown("File/root"));
    assert_eq!(last.resolve(&|_| Some(json!({"url": "u"}))).unwrap()["spec"]["note"], "u");
}

#[test]
fn only_what_is_asked_for_is_made_and_what_it_reads() {
    let mut case = Case::new()
        .file("base", "a.yaml", file("x", "note: \"${{ ref('File/y').spec.content }}\""))
        .file("base", "b.yaml", file("y", "content: hello"))
        .file("base", "c.yaml", file("z", "contnt: 1"));
    case.only = Some(HashSet::from([ResourceId::parse("site:File/x").unwrap()]));
    let docs = case.docs();
    assert_eq!((docs.len(), &docs[0].1["spec"]["note"]), (1, &json!("hello")));
}

#[test]
fn resources_known_from_elsewhere_are_named_and_their_specs_asked_for() {
    let mut case = Case::new().file("base", "a.yaml", file("x", "note: \"${{ ref('File/far').spec.path }}\"")).file(
        "base",
        "b.yaml",
        file("y", "note: \"${{ ref('File/far').status.url }}\""),
    );
    let far = ResourceId::parse("site:File/far").unwrap();
    case.known = Some(Declared(HashSet::from([far.clone()])));
    let done = case.run();
    assert_eq!((said(&done).len(), done.missing), (0, vec![far]));
    assert_eq!(done.resources.len(), 1);
    assert_eq!(done.resources[0].doc["spec"]["note"], unknown("File/far"));
}
