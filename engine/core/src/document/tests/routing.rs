use super::*;

fn document(api: &str, kind: &str, metadata: &str) -> String {
    format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {{replicas: 1}}\n")
}

#[track_caller]
fn routes(case: &Case, api: &str, kind: &str, metadata: &str, want: &str) {
    let case = Case { providers: case.providers.clone(), default_provider: case.default_provider.clone(), ..Case::new() };
    let done = case.file("base", "a.yaml", document(api, kind, metadata)).run();
    let got: Vec<String> = done.resources.iter().map(|it| it.id.to_string()).chain(said(&done)).collect();
    assert_eq!(got, [want]);
}

fn two_clusters() -> Case {
    let mut case = Case::new();
    let second = Provider { alias: "k8s2".into(), ..case.providers[1].clone() };
    case.providers.push(second);
    case
}

#[test]
fn documents_go_to_the_provider_that_their_api_version_names_or_takes_any() {
    let case = Case::new();
    routes(&case, "apps/v1", "Deployment", "name: web, namespace: shop", "k8s:Deployment.apps/shop/web");
    routes(&case, "v1", "Service", "name: web", "k8s:Service/web");
    routes(&case, "k8s/v1", "Service", "name: web", "k8s:Service/web");
    let two = two_clusters();
    routes(&two, "v1", "Service", "name: web, annotations: {trueup.dev/provider: k8s2}", "k8s2:Service/web");
    let by_default = Case { default_provider: Some("k8s2".into()), ..two_clusters() };
    routes(&by_default, "v1", "Service", "name: web", "k8s2:Service/web");
    routes(&by_default, "v1", "Service", "name: web, annotations: {trueup.dev/provider: k8s}", "k8s:Service/web");
}

#[test]
fn a_document_that_nobody_or_several_take_is_an_error_that_names_them() {
    let case = Case::new();
    routes(&case, "sitte/v1", "File", "name: x", "a.yaml:1:13+8 TU0201 no provider of this environment is called `sitte`");
    routes(&case, "site/v2", "File", "name: x", "a.yaml:1:13+7 TU0201 the provider `site` has `site/v1` only");
    routes(
        &case,
        "v1",
        "Service",
        "name: x, annotations: {trueup.dev/provider: site}",
        "a.yaml:3:35+25 TU0201 the provider `site` takes documents with `apiVersion: site/v1` only",
    );
    routes(&two_clusters(), "v1", "Service", "name: x", "a.yaml:1:13+2 TU0202 several providers take `v1`: `k8s`, `k8s2`");
    routes(&case, "v1", "Sevice", "name: x", "a.yaml:2:7+6 TU0303 the provider `k8s` has no kind `Sevice`");
    let mut alone = Case::new();
    alone.providers.truncate(1);
    routes(&alone, "v1", "Service", "name: x", "a.yaml:1:13+2 TU0201 no provider of this environment takes `v1`");
}

#[test]
fn a_document_without_its_header_says_what_is_missing() {
    for (text, want) in [
        ("kind: File\n", "a.yaml:1:1+0 TU0107 the document has no apiVersion"),
        ("apiVersion: site/v1\nname: x\n", "a.yaml:1:1+0 TU0107 the document has no kind"),
        ("apiVersion: site/v1\nkind: File\nspec: {}\n", "a.yaml:1:1+0 TU0107 the document has no metadata"),
        ("apiVersion: site/v1\nkind: File\nmetadata: {}\n", "a.yaml:3:1+8 TU0107 the document has no metadata.name"),
        ("apiVersion: site/v1\nkind: File\nmetadata: x\n", "a.yaml:3:1+11 TU0107 metadata is a text, and must be a mapping"),
        ("apiVersion: 1\nkind: [x]\nmetadata: x\n", "a.yaml:2:1+4 TU0107 kind must be a text"),
        (
            "- a\n- b\n",
            "a.yaml:1:1+0 TU0107 a document is a mapping with apiVersion, kind, metadata and spec, and this is a list",
        ),
        (
            "apiVersion: site/v1\nkind: File\nmetadata: {name: 12}\n",
            "a.yaml:3:12+8 TU0108 metadata.name is a number, and must be a text",
        ),
        ("apiVersion: site/v1\nkind: \"${{ vars.name }}\"\n", "a.yaml:2:7+18 TU0404 kind cannot hold an expression"),
    ] {
        Case::new().file("base", "a.yaml", text).says(&[want]);
    }
}

#[test]
fn lists_are_opened_for_kubectls_readers_only() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: b}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n";
    let ids: Vec<String> = Case::new().file("base", "a.yaml", text).docs().into_iter().map(|it| it.0).collect();
    assert_eq!(ids, ["k8s:ConfigMap/a", "k8s:Service/b"]);
    let own = "apiVersion: site/v1\nkind: List\nmetadata: {name: x}\nitems: []\n";
    Case::new().file("base", "a.yaml", own).says(&["a.yaml:2:7+4 TU0303 the provider `site` has no kind `List`"]);
}

#[test]
fn items_of_a_typed_list_are_of_its_kind_unless_a_provider_has_a_kind_of_that_name() {
    let text = "apiVersion: v1\nkind: ConfigMapList\nmetadata: {resourceVersion: '1'}\nitems:\n- {metadata: {name: a}, data: {on: yes}}\n\
                - {apiVersion: v1, kind: Service, metadata: {name: b}}\n";
    let docs = Case::new().file("base", "a.yaml", text).docs();
    let ids: Vec<&str> = docs.iter().map(|it| it.0.as_str()).collect();
    assert_eq!((ids, &docs[0].1["data"]), (vec!["k8s:ConfigMap/a", "k8s:Service/b"], &json!({"true": true})));
    for text in [
        "apiVersion: v1\nkind: AllowList\nmetadata: {name: x}\nitems: []\n",
        "apiVersion: v1\nkind: AllowList\nspec: {}\nmetadata: {name: x}\n",
    ] {
        Case::new().file("base", "a.yaml", text).says(&["a.yaml:2:7+9 TU0303 the provider `k8s` has no kind `AllowList`"]);
    }
}

#[test]
fn what_other_tools_write_into_their_documents_is_let_pass_in_those_alone() {
    let text =
        "apiVersion: v1\nkind: Service\nmetadata: {name: \"system:foo\"}\nstatus: {loadBalancer: {}}\nspec: {replicas: 1}\n";
    let docs = Case::new().file("base", "a.yaml", text).docs();
    assert_eq!(docs, [("k8s:Service/system:foo".to_owned(), json!({"spec": {"replicas": 1}}))]);
    let own = "apiVersion: site/v1\nkind: File\nmetadata: {name: \"a:b\"}\nspec: {path: x}\nstatus: {}\n";
    Case::new().file("base", "a.yaml", own).says(&["a.yaml:3:18+5 TU0108 metadata.name is `a:b`"]);
    let generated = "apiVersion: v1\nkind: Service\nmetadata: {generateName: a-}\n";
    let want = "a.yaml:3:12+16 TU0107 `generateName` has the server draw a name, and no two applies would mean the same object";
    Case::new().file("base", "a.yaml", generated).says(&[want]);
}

#[test]
fn kustomizations_and_charts_are_named_as_such() {
    let case = Case::new()
        .file("base", "x/kustomization.yaml", "resources: [a]\n")
        .file("base", "y/Chart.yaml", "name: x\n")
        .file("base", "z.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n");
    let codes: Vec<_> = case.run().diagnostics.iter().map(|it| it.code).collect();
    assert_eq!(codes, [crate::diagnostic::codes::FOREIGN_FORMAT; 3]);
}

#[test]
fn the_project_file_may_stand_in_a_layer_and_nothing_else_sets_up_the_engine() {
    let text = "apiVersion: trueup.dev/v1\nkind: Project\nmetadata: {name: x}\n";
    Case::new().file("base", "trueup.yaml", text).says(&[]);
    let said = said(&Case::new().file("base", "other.yaml", text).run());
    assert!(said[0].contains("TU0201"), "{said:?}");
}

#[test]
fn kubectls_documents_are_read_as_kubectl_reads_them_and_others_must_quote() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {mode: 0644, yes: on}\n";
    let docs = Case::new().file("base", "a.yaml", text).docs();
    assert_eq!(docs[0].1, json!({"data": {"mode": 420, "true": true}}));
    let case = Case::new().file("base", "a.yaml", file("x", "mode: 0644"));
    case.says(&["a.yaml:4:23+4 TU0103 `0644` is the number 644 in YAML 1.2 and the number 420 in YAML 1.1"]);
}

#[test]
fn labels_and_annotations_stay_where_the_kind_has_them() {
    let metadata = "name: web, labels: {a: b}, annotations: {x: y, trueup.dev/protect: \"true\"}, creationTimestamp: null";
    let done = Case::new().file("base", "a.yaml", document("v1", "Service", metadata)).run();
    assert_eq!(said(&done), Vec::<String>::new());
    let resource = &done.resources[0];
    assert_eq!(*resource.doc, json!({"metadata": {"labels": {"a": "b"}, "annotations": {"x": "y"}}, "spec": {"replicas": 1}}));
    assert!(resource.settings.protect);
    let text = "apiVersion: site/v1\nkind: File\nmetadata: {name: x, labels: {a: b}, owner: y}\nspec: {path: x}\n";
    Case::new()
        .file("base", "a.yaml", text)
        .says(&["a.yaml:3:21+6 TU0301 a File has no labels", "a.yaml:3:37+8 TU0301 metadata has no field `owner`"]);
}

#[test]
fn settings_are_read_and_misspelt_ones_refused() {
    let text = |annotations: &str| {
        format!("apiVersion: site/v1\nkind: File\nmetadata: {{name: x, annotations: {{{annotations}}}}}\nspec: {{path: x}}\n")
    };
    Case::new()
        .file("base", "a.yaml", text("trueup.dev/proteckt: \"true\""))
        .says(&["a.yaml:3:35+27 TU0203 there is no setting `trueup.dev/proteckt`"]);
    Case::new()
        .file("base", "a.yaml", text("trueup.dev/protect: true"))
        .says(&["a.yaml:3:55+4 TU0204 `trueup.dev/protect` is a boolean, and annotations are texts"]);
    Case::new()
        .file("base", "a.yaml", text("trueup.dev/wave: \"1\""))
        .says(&["a.yaml:3:35+20 TU0205 this version does not act on trueup.dev/wave yet"]);
}

#[test]
fn names_may_use_variables_and_nothing_else() {
    let text = "apiVersion: site/v1\nkind: File\nmetadata: {name: \"${{ vars.name }}-${{ env.name }}\"}\nspec: {path: x}\n";
    assert_eq!(Case::new().file("base", "a.yaml", text).docs()[0].0, "site:File/motd-prod");
    let text = text.replace("vars.name", "ref('File/x').spec.path");
    Case::new()
        .file("base", "a.yaml", text.clone())
        .says(&["a.yaml:3:18+48 TU0404 names and metadata are needed before anything is evaluated"]);
    let number = text.replace("\"${{ ref('File/x').spec.path }}-${{ env.name }}\"", "\"${{ vars.n }}\"");
    Case::new().file("base", "a.yaml", number).says(&["a.yaml:3:12+21 TU0108 metadata.name is a number, and must be a text"]);
}
