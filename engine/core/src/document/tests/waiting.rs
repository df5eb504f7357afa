//! `trueup.dev/wait-for` as documents give it.

use super::*;

/// A file and a Deployment with this annotation.
fn text(annotation: &str) -> [String; 2] {
    [
        format!(
            "apiVersion: site/v1\nkind: File\nmetadata:\n  name: x\n  annotations:\n    trueup.dev/wait-for: {annotation}\nspec: {{path: x}}\n"
        ),
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: x\n  annotations:\n    trueup.dev/wait-for: {annotation}\n"
        ),
    ]
}

#[track_caller]
fn says(annotation: &str, want: &str) {
    let [file, _] = text(annotation);
    Case::new().file("base", "a.yaml", file).says(&[want]);
}

#[test]
fn a_condition_is_kept_and_a_plugin_does_not_see_it() {
    for (annotation, want) in [
        ("self.status.url != ''", "self.status.url != ''"),
        ("\"self.spec.note == 'a: b'\"", "self.spec.note == 'a: b'"),
        (">-\n      self.status.url != '' &&\n      vars.n == 1", "self.status.url != '' && vars.n == 1"),
        ("\"self.status.url == '${{ vars.domain }}'\"", "self.status.url == 'example.com'"),
    ] {
        let [file, _] = text(annotation);
        let resource = Case::new().file("base", "a.yaml", file).run().resources.remove(0);
        assert_eq!(resource.settings.wait_for.as_ref().unwrap().to_string(), want);
        assert_eq!(resource.doc.get("metadata"), None);
    }
    // Of a kind whose schema is open any field may come.
    let [_, deployment] = text("self.status.readyReplicas == self.spec.replicas");
    assert_eq!(said(&Case::new().file("base", "a.yaml", deployment).run()), Vec::<String>::new());
}

#[test]
fn what_is_wrong_with_a_condition_has_a_caret_under_it() {
    says("self.status.url == 1 +", "a.yaml:6:48+0 TU0400 expected a value, found the end of the expression");
    says("self.status.url == vars.nn", "a.yaml:6:50+2 TU0402 there is no variable `nn`");
    says("'vars.nn == self.status.url'", "a.yaml:6:32+2 TU0402 there is no variable `nn`");
    says("self.status.ulr != ''", "a.yaml:6:26+15 TU0402 objects of File have no field `ulr`");
    says("has(self.spec.contnet)", "a.yaml:6:30+17 TU0402 objects of File have no field `contnet`");
    says("self.data.x == 1", "a.yaml:6:26+11 TU0402 objects of File have no field `data`");
    says(
        "\"self.status.url == ref('File/y').status.url\"",
        "a.yaml:6:46+13 TU0404 `ref` cannot stand in a condition, which is about its own object",
    );
    says("size(self.status.url)", "a.yaml:6:26+21 TU0403 a condition must come to true or false, and this comes to a number");
    says("vars.n == 1", "a.yaml:6:26+11 TU0403 the condition does not look at the object, so that it could never change");
    says("\"\"", "a.yaml:6:27+1 TU0400 an expression is empty");
}

#[test]
fn an_output_that_is_not_there_is_told_with_what_to_write_where_it_comes_from() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n";
    let note = file("x", "note: \"${{ ref('Service/shop/web').status.loadBalancer.ingress[0].ip }}\"");
    let case = Case::new().file("base", "a.yaml", note).file("base", "b.yaml", service);
    let done = case.run();
    assert_eq!(said(&done), Vec::<String>::new());
    let resource = done.resources.iter().find(|it| it.waits).unwrap();
    let status = |value: Json| move |_: &ResourceId| Some(value.clone());
    let error = resource.resolve(&status(json!({"loadBalancer": {}}))).unwrap_err();
    assert_eq!((error.code, &*error.message), (codes::EXPRESSION_UNDEFINED, "spec.note: there is no field `ingress`"));
    let want = "if it comes later, have Service/shop/web waited for: \
                write `trueup.dev/wait-for: self.status.loadBalancer.ingress[0].ip != null` there";
    assert_eq!(error.hint.as_deref(), Some(want));
    let known = status(json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}));
    assert_eq!(resource.resolve(&known).unwrap()["spec"]["note"], "192.0.2.1");
}
