//! The manifest of a plugin: made so that equal components give equal bytes, and judged before anything of it is used.

use serde_json::Value as Json;
use trueup_core::value::{Digest, json};

use super::{MAX_COMPONENT, MAX_MANIFEST, RegistryError, shown};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";
pub(super) const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";
/// Bytes of an annotation that is shown or compared.
const MAX_ANNOTATION: usize = 4 << 10;

/// A manifest as it came, with its own digest.
pub(super) struct Raw {
    pub bytes: Vec<u8>,
    pub digest: Digest,
    /// What the registry calls it.
    pub media_type: Option<String>,
}

/// A blob that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    /// As they stand there.
    pub annotations: Json,
}

impl Descriptor {
    /// `what` is what people call the blob.
    pub(super) fn read(value: &Json, what: &str) -> Result<Self, RegistryError> {
        let wrong = |why: &str| RegistryError::refused(format!("the manifest's {what} {why}"));
        let text = |key: &str| value.get(key).and_then(Json::as_str).unwrap_or_default();
        let digest = text("digest");
        let Some(hex) = digest.strip_prefix("sha256:") else {
            return Err(wrong(&format!("is named by `{}`, and only sha256 is known here", shown(digest))));
        };
        let digest = Digest::parse(hex).ok_or_else(|| wrong("is named by a digest that is none"))?;
        let size = value.get("size").and_then(Json::as_u64).ok_or_else(|| wrong("has no size"))?;
        let annotations = value.get("annotations").cloned().unwrap_or_default();
        Ok(Self { media_type: text("mediaType").to_owned(), digest, size, annotations })
    }
}

/// A plugin's manifest that was judged.
#[derive(Clone, Debug)]
pub struct Image {
    /// Of the manifest.
    pub digest: Digest,
    pub(super) bytes: Vec<u8>,
    pub(super) config: Descriptor,
    /// The component.
    pub(super) layer: Descriptor,
}

impl Image {
    /// SHA-256 of the component, as locks pin it.
    pub fn component(&self) -> &Digest {
        &self.layer.digest
    }

    /// Judges a manifest: one component, named by what this version can check, of a size that it takes.
    pub(super) fn judge(raw: &Raw) -> Result<Self, RegistryError> {
        let root = manifest(raw)?;
        let config = Descriptor::read(root.get("config").unwrap_or(&Json::Null), "configuration")?;
        if config.media_type != CONFIG {
            let text = format!("the artifact is no WebAssembly component: its configuration is `{}`", shown(&config.media_type));
            return Err(RegistryError::refused(text).hint(format!("`trueup plugin publish` makes one with `{CONFIG}`")));
        }
        if config.size > MAX_MANIFEST {
            return Err(RegistryError::refused(format!("the manifest's configuration has more than {MAX_MANIFEST} bytes")));
        }
        let layers = root.get("layers").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        let [layer] = layers else {
            return Err(RegistryError::refused(format!("the artifact has {} layers, and a plugin is exactly one", layers.len())));
        };
        let layer = Descriptor::read(layer, "layer")?;
        if layer.media_type != LAYER {
            let text = format!("the layer is `{}`, and a plugin is `{LAYER}`, not packed", shown(&layer.media_type));
            return Err(RegistryError::refused(text));
        }
        if layer.size > MAX_COMPONENT {
            let text = format!("the layer has {} bytes; plugins above {MAX_COMPONENT} are not loaded", layer.size);
            return Err(RegistryError::refused(text));
        }
        for annotations in [root.get("annotations").unwrap_or(&Json::Null), &layer.annotations] {
            title(annotations)?;
        }
        Ok(Self { digest: raw.digest, bytes: raw.bytes.clone(), config, layer })
    }

    /// Judges the configuration that the manifest names.
    pub(super) fn judge_config(&self, bytes: &[u8]) -> Result<(), RegistryError> {
        let wrong = |what: &str| RegistryError::refused(format!("the artifact's configuration {what}"));
        let root: Json = serde_json::from_slice(bytes).map_err(|_| wrong("is not JSON"))?;
        let text = |key: &str| root.get(key).and_then(Json::as_str).unwrap_or_default();
        let (architecture, os) = (text("architecture"), text("os"));
        if (architecture, os) != ("wasm", "wasip2") {
            let text = format!("is for `{}` on `{}`, and a plugin is `wasm` on `wasip2`", shown(architecture), shown(os));
            return Err(wrong(&text));
        }
        let named = root.get("layerDigests").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        match named {
            [only] if only.as_str() == Some(&format!("sha256:{}", self.layer.digest)) => Ok(()),
            _ => Err(wrong("names other layers than the manifest")),
        }
    }
}

/// The JSON of a manifest that is one and says so.
pub(super) fn manifest(raw: &Raw) -> Result<Json, RegistryError> {
    let root: Json = serde_json::from_slice(&raw.bytes).map_err(|_| RegistryError::refused("the manifest is not JSON"))?;
    let inner = root.get("mediaType").and_then(Json::as_str);
    let outer = raw.media_type.as_deref().map(|it| it.split(';').next().unwrap_or_default().trim());
    // Registries that serve files give any type; what names a kind of manifest must name the same one.
    let outer = outer.filter(|it| it.starts_with("application/vnd."));
    if let (Some(inner), Some(outer)) = (inner, outer)
        && inner != outer
    {
        let text = format!("the manifest is served as `{}` and calls itself `{}`", shown(outer), shown(inner));
        return Err(RegistryError::refused(text));
    }
    match inner.or(outer) {
        Some(MANIFEST) => {}
        Some(INDEX | DOCKER_LIST) => {
            let text = "the reference leads to an index of several artifacts, and a plugin is one manifest";
            return Err(RegistryError::refused(text).hint("name the manifest itself, by its tag or digest"));
        }
        other => {
            let text =
                format!("the reference leads to `{}`, which is no OCI image manifest", shown(other.unwrap_or("nothing named")));
            return Err(RegistryError::refused(text));
        }
    }
    if root.get("manifests").is_some() || root.get("schemaVersion").and_then(Json::as_u64) != Some(2) {
        return Err(RegistryError::refused("the manifest is not of schema version 2, or an index at the same time"));
    }
    Ok(root)
}

/// A title names a file to other tools. Here none is made of it; one that leads elsewhere has no honest reason.
fn title(annotations: &Json) -> Result<(), RegistryError> {
    let Some(title) = annotations.get(TITLE) else { return Ok(()) };
    let text = title.as_str().unwrap_or("/");
    let wrong = text.is_empty()
        || text.len() > MAX_ANNOTATION
        || text.starts_with('.')
        || text.contains(['/', '\\'])
        || text.chars().any(char::is_control);
    if wrong {
        let text = format!("the title `{}` of the artifact is a path, or no name of a file", shown(text));
        return Err(RegistryError::refused(text));
    }
    Ok(())
}

/// What a component takes and gives, for its configuration.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// A component made ready to be published. The same component gives the same bytes, and so the same digest, anywhere.
pub struct Packed {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub component: Vec<u8>,
    /// Of the manifest.
    pub digest: Digest,
}

impl Packed {
    /// `name` and `version` are the manifest's of the plugin; `target` the world that it is built for.
    pub fn new(component: Vec<u8>, name: &str, version: &str, interfaces: &Interfaces, target: Option<&str>) -> Self {
        let (mut imports, mut exports) = (interfaces.imports.clone(), interfaces.exports.clone());
        imports.sort_unstable();
        exports.sort_unstable();
        let layer = format!("sha256:{}", Digest::of(&component));
        // `created` is required by other readers of this form, and of no use to any.
        let mut config = json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [layer],
            "component": {"imports": imports, "exports": exports},
        });
        if let (Some(target), Some(it)) = (target, config.pointer_mut("/component").and_then(Json::as_object_mut)) {
            it.insert("target".to_owned(), json!(target));
        }
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": format!("sha256:{}", Digest::of(&config)), "size": config.len()},
            "layers": [{
                "mediaType": LAYER,
                "digest": layer,
                "size": component.len(),
                "annotations": {TITLE: format!("{name}.wasm")},
            }],
            "annotations": {TITLE: name, VERSION: version},
        });
        let manifest = manifest.to_string().into_bytes();
        Self { digest: Digest::of(&manifest), manifest, config, component }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed() -> Packed {
        let interfaces = Interfaces { imports: vec!["b".into(), "a".into()], exports: vec!["c".into()] };
        Packed::new(b"component".to_vec(), "tickets", "0.1.0", &interfaces, Some("w"))
    }

    fn judge(bytes: &[u8], media_type: Option<&str>) -> Result<Image, RegistryError> {
        Image::judge(&Raw { bytes: bytes.to_vec(), digest: Digest::of(bytes), media_type: media_type.map(str::to_owned) })
    }

    /// The good manifest with one value put in place of another.
    #[track_caller]
    fn check(pointer: &str, value: Json, words: &str) {
        let mut root: Json = serde_json::from_slice(&packed().manifest).unwrap();
        match root.pointer_mut(pointer) {
            Some(it) => *it = value,
            None => drop(root.as_object_mut().unwrap().insert(pointer.trim_start_matches('/').to_owned(), value)),
        }
        let refused = judge(root.to_string().as_bytes(), None).expect_err(pointer).to_string();
        assert!(refused.contains(words), "{pointer}: {refused}");
    }

    #[test]
    fn what_is_packed_is_taken_and_is_the_same_every_time() {
        let (one, two) = (packed(), packed());
        assert_eq!((&one.manifest, &one.config, one.digest), (&two.manifest, &two.config, two.digest));
        let image = judge(&one.manifest, Some(MANIFEST)).unwrap();
        assert_eq!((image.digest, image.component()), (one.digest, &Digest::of(b"component")));
        image.judge_config(&one.config).unwrap();
    }

    #[test]
    fn anything_but_one_whole_component_is_refused_by_name() {
        let layer = json!({"mediaType": LAYER, "digest": format!("sha256:{}", Digest::of(b"x")), "size": 1});
        check("/layers", json!([]), "has 0 layers");
        check("/layers", json!([layer, layer]), "has 2 layers");
        check("/layers/0/mediaType", json!("application/wasm+gzip"), "not packed");
        check("/layers/0/mediaType", json!("application/vnd.oci.image.layer.v1.tar"), "not packed");
        check("/layers/0/size", json!(MAX_COMPONENT + 1), "are not loaded");
        check("/layers/0/size", json!(-1), "has no size");
        check("/layers/0/digest", json!(format!("sha512:{}", "ab".repeat(64))), "only sha256 is known");
        check("/layers/0/digest", json!("sha256:../../x"), "a digest that is none");
        check("/config/digest", json!("md5:00"), "only sha256 is known");
        check("/config/mediaType", json!("application/vnd.oci.image.config.v1+json"), "no WebAssembly component");
        check("/config/size", json!(MAX_MANIFEST + 1), "more than");
        check("/mediaType", json!(INDEX), "an index of several");
        check("/mediaType", json!(DOCKER_LIST), "an index of several");
        check("/mediaType", json!("text/html"), "no OCI image manifest");
        check("/schemaVersion", json!(1), "schema version 2");
        check("/manifests", json!([]), "an index at the same time");
        for title in ["../../x", "/etc/passwd", "a\\b", ".ssh", "", "a\u{1b}b"] {
            check("/layers/0/annotations", json!({TITLE: title}), "is a path");
            check("/annotations", json!({TITLE: title}), "is a path");
        }
        assert!(judge(b"<html>", None).unwrap_err().to_string().contains("not JSON"));
        assert!(judge(b"[]", Some(INDEX)).unwrap_err().to_string().contains("an index"));
        let confused = judge(&packed().manifest, Some(INDEX)).unwrap_err().to_string();
        assert!(confused.contains("served as"), "{confused}");
    }

    #[test]
    fn a_configuration_of_something_else_is_refused() {
        let image = judge(&packed().manifest, None).unwrap();
        let other = |text: String| image.judge_config(text.as_bytes()).unwrap_err().to_string();
        let text = String::from_utf8(packed().config).unwrap();
        assert!(other(text.replace("wasip2", "linux")).contains("`linux`"));
        assert!(other(text.replace("\"wasm\"", "\"amd64\"")).contains("`amd64`"));
        assert!(other(text.replace("sha256:", "sha256:0")).contains("other layers"));
        assert!(other("{".to_owned()).contains("not JSON"));
    }
}
