//! From documents as people write them to documents as the server would show them: namespaces filled in, nulls and the server's own
//! fields left out, quantities and secrets in one spelling. Pure.

use trueup_sdk::{Address, Declared, Desired, Error, Json, Rendered, Result, Severity};

use crate::canonical;
use crate::definition;
use crate::fetch::Kinds;
use crate::kind::split_key;
use crate::manifest::Config;
use crate::mark;
use crate::object::{LAST_APPLIED, SERVERS};
use crate::secret;
use crate::settle::DEFINITION;

/// Renders one document.
pub fn render(kinds: &Kinds, config: &Config, item: &Declared) -> Rendered {
    match one(kinds, config, item) {
        Ok(object) => Rendered { objects: vec![object], diagnostics: Vec::new() },
        Err(error) => Rendered { objects: Vec::new(), diagnostics: vec![error.diagnostic(Severity::Error)] },
    }
}

fn one(kinds: &Kinds, config: &Config, item: &Declared) -> Result<Desired> {
    let Json::Object(mut doc) = serde_json::from_str(&item.doc)? else {
        return Err(Error::internal("the document is no mapping"));
    };
    let (namespace, name) = split_key(&item.address.key);
    let info = kinds.local(&item.address.kind);
    // Of a kind that is not known yet, the document itself says whether it is namespaced.
    let namespaced = info.as_ref().map_or(namespace.is_some(), |it| it.namespaced);
    let scope = if namespaced { namespace.unwrap_or(&config.namespace) } else { "" };
    if name.is_empty() {
        return Err(Error::invalid("k8s.name", "generated names are not stable: write `metadata.name`").at("/metadata"));
    }
    canonical::without_nulls(&mut doc);
    doc.remove("status");
    metadata(&mut doc)?;
    if item.address.kind == secret::KIND {
        secret::place(&mut doc)?;
    }
    let mut doc = Json::Object(doc);
    if let Some(info) = &info {
        info.shape.spell(&mut doc);
    }
    let mut ext = Vec::new();
    if item.address.kind == DEFINITION {
        definition::check(&doc, name)?;
        ext.extend(definition::kinds(&doc).map(|it| ("defines".to_owned(), it.to_string())));
    }
    let address = Address { kind: item.address.kind.clone(), scope: scope.to_owned(), key: name.to_owned() };
    Ok(Desired { address, doc: doc.to_string(), after: Vec::new(), ext })
}

fn metadata(doc: &mut serde_json::Map<String, Json>) -> Result<()> {
    let Some(Json::Object(metadata)) = doc.get_mut("metadata") else { return Ok(()) };
    metadata.retain(|name, _| !SERVERS.contains(&name.as_str()));
    if let Some(Json::Object(labels)) = metadata.get("labels")
        && let Some(name) = labels.keys().find(|it| it.starts_with(mark::PREFIX))
    {
        let text = format!("the label `{name}` is trueup's own, and says whose an object is; remove it");
        return Err(
            Error::invalid("k8s.own-label", text).at(format!("/metadata/labels/{}", name.replace('~', "~0").replace('/', "~1")))
        );
    }
    if let Some(Json::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove(LAST_APPLIED);
    }
    metadata.retain(|_, it| !matches!(it, Json::Object(map) if map.is_empty()));
    if metadata.is_empty() {
        doc.remove("metadata");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use trueup_sdk::json;

    use super::*;

    fn kinds() -> Kinds {
        let quantity = json!({ "x-trueup-format": "quantity" });
        let schema = json!({ "properties": { "spec": { "properties": { "cpu": quantity } } } });
        Kinds::new(Some(json!({
            "Widget.example.com": { "schema": schema, "plural": "widgets", "version": "v1", "namespaced": true },
            "Secret": { "schema": {}, "plural": "secrets", "version": "v1", "namespaced": true },
            "ClusterRole.rbac.authorization.k8s.io": { "schema": {}, "plural": "clusterroles", "version": "v1", "namespaced": false }
        })))
    }

    fn rendered(kind: &str, key: &str, doc: &Json) -> Rendered {
        let address = Address { kind: kind.to_owned(), scope: String::new(), key: key.to_owned() };
        let config = Config { namespace: "default".to_owned() };
        render(&kinds(), &config, &Declared { address, doc: doc.to_string(), ext: Vec::new() })
    }

    #[track_caller]
    fn check(kind: &str, key: &str, doc: &Json, want: (&str, &str, Json)) {
        let rendered = rendered(kind, key, doc);
        let object = rendered.objects.first().unwrap_or_else(|| panic!("{:?}", rendered.diagnostics));
        let got: Json = serde_json::from_str(&object.doc).unwrap();
        assert_eq!((object.address.scope.as_str(), object.address.key.as_str(), got), want);
    }

    #[test]
    fn a_namespace_comes_from_the_document_then_from_the_settings_and_only_where_the_kind_has_one() {
        check("Widget.example.com", "shop/a", &json!({}), ("shop", "a", json!({})));
        check("Widget.example.com", "a", &json!({}), ("default", "a", json!({})));
        check("ClusterRole.rbac.authorization.k8s.io", "shop/a", &json!({}), ("", "a", json!({})));
        check("New.example.com", "shop/a", &json!({}), ("shop", "a", json!({})));
        check("New.example.com", "a", &json!({}), ("", "a", json!({})));
    }

    #[test]
    fn what_is_the_servers_or_nothing_is_left_out_and_quantities_have_one_spelling() {
        let doc = json!({
            "spec": { "cpu": "1000m", "x": null }, "status": {},
            "metadata": { "creationTimestamp": null, "resourceVersion": "1", "uid": "u", "labels": {}, "annotations": { "a": "b" } }
        });
        check(
            "Widget.example.com",
            "a",
            &doc,
            ("default", "a", json!({ "spec": { "cpu": "1" }, "metadata": { "annotations": { "a": "b" } } })),
        );
        check("Widget.example.com", "a", &json!({ "metadata": { "uid": "u" } }), ("default", "a", json!({})));
        check("Secret", "a", &json!({ "data": { "k": "dGV4dA==" } }), ("default", "a", json!({ "stringData": { "k": "text" } })));
        let copy = json!({ "metadata": { "annotations": { LAST_APPLIED: "{\"data\":{\"k\":\"canary\"}}" } } });
        check("Secret", "a", &copy, ("default", "a", json!({})));
    }

    #[test]
    fn what_cannot_be_declared_is_refused_with_a_reason() {
        let doc = json!({ "metadata": { "labels": { "trueup.dev/project": "x" } } });
        let own = rendered("Widget.example.com", "a", &doc);
        assert!(own.objects.is_empty());
        assert_eq!(own.diagnostics[0].code, "k8s.own-label");
        let rendered = rendered("Secret", "a", &json!({ "data": { "k": "no base64!" } }));
        assert_eq!(rendered.diagnostics[0].code, "k8s.secret-data");
    }
}
