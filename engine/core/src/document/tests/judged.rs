use super::*;
use crate::diagnostic::Severity;

#[track_caller]
fn fails(spec: &str, want: &str) {
    Case::new().file("base", "a.yaml", file("x", spec)).says(&[want]);
}

#[test]
fn secrets_stay_names_and_only_where_the_schema_allows() {
    let case = Case::new().file("base", "a.yaml", file("x", "secret: \"pw=${{ secret('db') }}\""));
    let done = case.run();
    assert_eq!(said(&done), Vec::<String>::new());
    let resource = &done.resources[0];
    assert_eq!(resource.doc["spec"]["secret"], json!({"$secret": "db", "hmac": ""}));
    let parts = vec![SecretPart::Text("pw=".into()), SecretPart::Secret("db".into())];
    let [held] = resource.secrets.as_slice() else { panic!("{:?}", resource.secrets) };
    assert_eq!((&held.path, &held.parts), (&Path::parse("spec.secret").unwrap(), &parts));
    assert_eq!((&*held.location.file, held.location.line), ("a.yaml", resource.location.line + 2));
    let said = |spec: &str| said(&Case::new().file("base", "a.yaml", file("x", spec)).run());
    assert!(said("secret: \"${{ secret('other') }}\"")[0].contains("TU0408"));
    assert!(said("content: \"${{ secret('db') }}\"")[0].contains("TU0408"));
    let plain = said("secret: hunter2");
    for unread in ["secret: 1_234", "secret: 9007199254740993"] {
        let said = said(unread);
        assert!(!said.concat().contains("1_234") && !said.concat().contains("9007"), "{said:?}");
    }
    assert!(plain[0].contains("TU0304") && !plain[0].contains("hunter2"), "{plain:?}");
}

#[test]
fn the_schema_judges_what_came_out() {
    fails("contnt: x", "a.yaml:4:17+9 TU0301 there is no field `spec.contnt`");
    let text = "apiVersion: site/v1\nkind: File\nmetadata: {name: x}\nspec: {content: x}\n";
    let said = said(&Case::new().file("base", "a.yaml", text).run());
    assert!(said.len() == 1 && said[0].starts_with("a.yaml:4:1+4 TU0302"), "{said:?}");
}

#[test]
fn one_bad_document_hides_no_finding_of_another_and_findings_come_in_order() {
    let case = Case::new()
        .file("base", "c.yaml", "a: [\n")
        .file(
            "base",
            "a.yaml",
            file("x", "contnt: 1") + "---\n" + &file("y", "note: \"${{ vars.gone }}\"") + "---\n" + &file("ok", "content: a"),
        )
        .file("base", "b.yaml", "apiVersion: nobody/v1\nkind: X\n");
    let done = case.run();
    let places: Vec<String> =
        done.diagnostics.iter().filter_map(|it| it.location.as_ref()).map(|it| format!("{}:{}", it.file, it.line)).collect();
    assert_eq!(places, ["a.yaml:4", "a.yaml:9", "b.yaml:1", "c.yaml:2"]);
    assert!(done.diagnostics.iter().all(|it| it.severity == Severity::Error));
    assert_eq!(done.resources.len(), 1);
}

#[test]
fn what_reads_a_broken_document_is_left_out_without_a_second_finding() {
    let case = Case::new().file("base", "a.yaml", file("x", "contnt: 1")).file(
        "base",
        "b.yaml",
        file("y", "note: \"${{ ref('File/x').spec.path }}\""),
    );
    let done = case.run();
    assert_eq!((done.diagnostics.len(), done.resources.len()), (1, 0));
}

#[test]
fn a_finding_in_a_merged_document_points_into_the_layer_that_brought_it() {
    Case::new()
        .file("base", "base/a.yaml", file("x", "content: a"))
        .file("prod", "prod/a.yaml", "apiVersion: site/v1\nkind: File\nmetadata: {name: x}\nspec: {content: [1]}\n")
        .says(&["prod/a.yaml:4:8+7 TU0300 `spec.content` must be a text, here is a list"]);
}

#[test]
fn an_output_that_no_schema_lists_is_an_error_before_anything_runs() {
    let case = Case::new().file("base", "a.yaml", file("x", "note: \"${{ ref('File/y').status.ulr }}\"")).file(
        "base",
        "b.yaml",
        file("y", "content: hello"),
    );
    let done = case.run();
    assert_eq!(said(&done), ["a.yaml:4:28+13 TU0402 `File/y` has no output `ulr`"]);
    assert_eq!(done.diagnostics[0].hint.as_deref(), Some("did you mean `url`?"));
}

#[test]
fn lines_of_a_document_that_names_a_field_for_secrets_are_hidden_whatever_is_wrong_with_it() {
    let hidden = |text: &str| {
        let done = Case::new().file("base", "base/a.yaml", text).run();
        done.diagnostics.iter().map(|it| it.hidden).collect::<Vec<_>>()
    };
    for wrong in ["mode: a, mode: b", "mode: 0644", "mode: \"x${{ vars.none }}\"", "mood: x", "mode: \"x"] {
        assert_eq!(hidden(&file("a", wrong)), [false], "{wrong}");
        assert_eq!(hidden(&file("a", &format!("secret: \"${{{{ secret('db') }}}}\", {wrong}"))), [true], "{wrong}");
    }
}
