//! `trueup.lock`: the digests of plugins and schemas that are not pinned by the program itself.
//!
//! JSON with sorted keys, committed beside `trueup.yaml`. Invariant: writing what was read gives the same bytes.

use std::collections::BTreeMap;

use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::value::{Digest, Json, json};

use super::decode::shown;
use super::project::PluginRef;

/// Name of the file at the root of a project.
pub const FILE: &str = "trueup.lock";

const FORMAT: u64 = 1;
const BYTES: usize = 1 << 20;

/// What is pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// By the text of `plugin:`.
    pub plugins: BTreeMap<String, Digest>,
    /// By alias: `schemas/<sha256>.json` beside the lock.
    pub schemas: BTreeMap<String, Digest>,
}

impl Lock {
    /// Reads the file. Where there is none, [`Lock::default`] pins nothing.
    ///
    /// # Errors
    ///
    /// One finding that says what is wrong and what to do.
    pub fn parse(bytes: &[u8]) -> Result<Self, Box<Diagnostic>> {
        let fail = |what: &str| {
            let hint =
                "take the committed file back; its form is `{\"format\": 1, \"plugins\": {\"./x.wasm\": {\"sha256\": \"…\"}}}`";
            Box::new(Diagnostic::error(codes::LOCK, format!("`{FILE}` {what}")).hint(hint))
        };
        if bytes.len() > BYTES {
            return Err(fail("is longer than 1 MiB"));
        }
        let root: Json = serde_json::from_slice(bytes).map_err(|err| fail(&format!("is not JSON (line {})", err.line())))?;
        let map = root.as_object().ok_or_else(|| fail("is not an object"))?;
        match map.get("format").and_then(Json::as_u64) {
            Some(FORMAT) => {}
            Some(other) if other > FORMAT => return Err(fail(&format!("has format {other}, of a newer version of trueup"))),
            _ => return Err(fail("has no `format`")),
        }
        if let Some(key) = map.keys().find(|it| !matches!(it.as_str(), "format" | "plugins" | "schemas")) {
            return Err(fail(&format!("has an unknown key `{}`", shown(key))));
        }
        let pins = |key: &str| -> Result<BTreeMap<String, Digest>, Box<Diagnostic>> {
            let Some(value) = map.get(key) else { return Ok(BTreeMap::new()) };
            let entries = value.as_object().ok_or_else(|| fail(&format!("has a `{key}` that is not an object")))?;
            let pin = |(name, pin): (&String, &Json)| {
                let digest = pin.as_object().filter(|it| it.len() == 1).and_then(|it| it.get("sha256")).and_then(Json::as_str);
                let digest = digest.and_then(Digest::parse);
                digest
                    .map(|digest| (name.clone(), digest))
                    .ok_or_else(|| fail(&format!("pins `{}` in `{key}` by something that is no sha256", shown(name))))
            };
            entries.iter().map(pin).collect()
        };
        Ok(Self { plugins: pins("plugins")?, schemas: pins("schemas")? })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let pins = |pins: &BTreeMap<String, Digest>| -> Json {
            Json::Object(pins.iter().map(|(name, digest)| (name.clone(), json!({ "sha256": digest.to_string() }))).collect())
        };
        let root = json!({ "format": FORMAT, "plugins": pins(&self.plugins), "schemas": pins(&self.schemas) });
        // The alternate form is indented and keeps the order of the keys; `Json` maps are sorted.
        format!("{root:#}\n").into_bytes()
    }

    /// Judges the component that was found for a plugin: what is bundled is pinned by the program.
    ///
    /// # Errors
    ///
    /// A finding where it is not pinned, or pinned to other bytes.
    pub fn check(&self, plugin: &PluginRef, found: &Digest) -> Result<(), Box<Diagnostic>> {
        if !plugin.is_pinned_by_lock() {
            return Ok(());
        }
        let name = shown(plugin.text());
        match self.plugins.get(plugin.text()) {
            Some(pinned) if pinned == found => Ok(()),
            Some(pinned) => {
                let message = format!("plugin `{name}` is sha256 {found}, and `{FILE}` pins sha256 {pinned}");
                let hint = "if the new one is wanted, write its digest into the file and commit it";
                Err(Box::new(Diagnostic::error(codes::LOCK, message).hint(hint)))
            }
            None => {
                let message = format!("plugin `{name}` is not pinned in `{FILE}` (it is sha256 {found})");
                Err(Box::new(
                    Diagnostic::error(codes::LOCK, message)
                        .hint("if it is the plugin you mean, write its digest into the file and commit it"),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_keys_are_sorted() {
        let lock = Lock {
            plugins: BTreeMap::from([("oci://h/b:1".into(), Digest::of(b"b")), ("./a.wasm".into(), Digest::of(b"a"))]),
            schemas: BTreeMap::from([("k8s".into(), Digest::of(b"s"))]),
        };
        let bytes = lock.to_bytes();
        assert_eq!(Lock::parse(&bytes).unwrap(), lock);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.find("./a.wasm") < text.find("oci://") && text.ends_with("}\n"), "{text}");
        let least = Lock::parse(br#"{"format":1}"#).unwrap();
        assert_eq!(least, Lock::default());
    }

    #[test]
    fn a_lock_that_is_not_understood_is_refused() {
        let check = |text: &str, want: &str| {
            let refused = Lock::parse(text.as_bytes()).unwrap_err();
            assert!(refused.message.contains(want) && refused.hint.is_some(), "{text}: {}", refused.message);
        };
        check("", "not JSON");
        check("[]", "not an object");
        check("{}", "no `format`");
        check(r#"{"format":2}"#, "newer version");
        check(r#"{"format":1,"plugin":{}}"#, "unknown key `plugin`");
        check(r#"{"format":1,"plugins":[]}"#, "not an object");
        check(r#"{"format":1,"plugins":{"./a.wasm":{"sha256":"00"}}}"#, "no sha256");
        check(r#"{"format":1,"plugins":{"./a.wasm":"00"}}"#, "no sha256");
    }

    #[test]
    fn an_unbundled_plugin_must_be_the_pinned_one() {
        let (path, good, bad) = (PluginRef::Path("./a.wasm".into()), Digest::of(b"a"), Digest::of(b"b"));
        let lock = Lock { plugins: BTreeMap::from([("./a.wasm".into(), good)]), ..Lock::default() };
        lock.check(&path, &good).unwrap();
        assert!(lock.check(&path, &bad).unwrap_err().message.contains("pins sha256"));
        assert!(Lock::default().check(&path, &good).unwrap_err().message.contains("not pinned"));
        Lock::default().check(&PluginRef::Bundled("file".into()), &bad).unwrap();
    }
}
