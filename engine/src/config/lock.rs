//! `trueup.lock`: the digests of plugins and schemas that are not pinned by the program itself.
//!
//! JSON with sorted keys, committed beside `trueup.yaml`. A plugin's pin holds at least its digest; what `plugin add` learnt of it
//! stands beside that. Invariant: writing what was read gives the same bytes.

use std::collections::BTreeMap;

use trueup_core::diagnostic::{Diagnostic, codes};
use trueup_core::value::{Digest, Json, json};

use super::decode::shown;
use super::project::PluginRef;
use crate::registry::Asks;

/// Name of the file at the root of a project.
pub const FILE: &str = "trueup.lock";

const FORMAT: u64 = 1;
const BYTES: usize = 1 << 20;

/// One plugin's pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Of the component.
    pub sha256: Digest,
    /// Of the artifact's manifest, for plugins of a registry.
    pub manifest: Option<Digest>,
    /// What its manifest asked for when it was added: it may not ask for more.
    pub asks: Option<Asks>,
    /// Fingerprint of the key that signed it.
    pub signed: Option<Digest>,
}

impl From<Digest> for Pin {
    fn from(sha256: Digest) -> Self {
        Self { sha256, manifest: None, asks: None, signed: None }
    }
}

impl Pin {
    /// None where it is not of that form.
    fn read(value: &Json) -> Option<Self> {
        let map = value.as_object()?;
        if map.keys().any(|it| !matches!(it.as_str(), "sha256" | "manifest" | "asks" | "signed")) {
            return None;
        }
        let digest = |key: &str| map.get(key).map_or(Some(None), |it| Some(Some(Digest::parse(it.as_str()?)?)));
        let asks = map.get("asks").map_or(Some(None), |it| Some(Some(Asks::from_json(it)?)))?;
        Some(Self { sha256: digest("sha256")??, manifest: digest("manifest")?, asks, signed: digest("signed")? })
    }

    fn to_json(&self) -> Json {
        let mut out = json!({ "sha256": self.sha256.to_string() });
        let rest = [
            ("manifest", self.manifest.map(|it| json!(it.to_string()))),
            ("asks", self.asks.as_ref().map(Asks::to_json)),
            ("signed", self.signed.map(|it| json!(it.to_string()))),
        ];
        if let Json::Object(map) = &mut out {
            map.extend(rest.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        }
        out
    }
}

/// What is pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// By the text of `plugin:`.
    pub plugins: BTreeMap<String, Pin>,
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
        let pins = |key: &str| -> Result<BTreeMap<String, Pin>, Box<Diagnostic>> {
            let Some(value) = map.get(key) else { return Ok(BTreeMap::new()) };
            let entries = value.as_object().ok_or_else(|| fail(&format!("has a `{key}` that is not an object")))?;
            let pin = |(name, pin): (&String, &Json)| {
                let digest = pin.get("sha256").and_then(Json::as_str).and_then(Digest::parse);
                let name_of = shown(name);
                digest.ok_or_else(|| fail(&format!("pins `{name_of}` in `{key}` by something that is no sha256")))?;
                let pin = Pin::read(pin).filter(|it| key == "plugins" || *it == Pin::from(it.sha256));
                pin.map(|pin| (name.clone(), pin))
                    .ok_or_else(|| fail(&format!("says of `{name_of}` in `{key}` what this version does not understand")))
            };
            entries.iter().map(pin).collect()
        };
        let schemas = pins("schemas")?.into_iter().map(|(alias, pin)| (alias, pin.sha256)).collect();
        Ok(Self { plugins: pins("plugins")?, schemas })
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let plugins: Json = Json::Object(self.plugins.iter().map(|(name, pin)| (name.clone(), pin.to_json())).collect());
        let schema = |(alias, digest): (&String, &Digest)| (alias.clone(), Pin::from(*digest).to_json());
        let schemas: Json = Json::Object(self.schemas.iter().map(schema).collect());
        let root = json!({ "format": FORMAT, "plugins": plugins, "schemas": schemas });
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
            Some(pinned) if pinned.sha256 == *found => Ok(()),
            Some(pinned) => {
                let message = format!("plugin `{name}` is sha256 {found}, and `{FILE}` pins sha256 {}", pinned.sha256);
                let hint = format!("if the new one is wanted: `trueup plugin upgrade {name}`, then commit the file");
                Err(Box::new(Diagnostic::error(codes::LOCK, message).hint(hint)))
            }
            None => {
                let message = format!("plugin `{name}` is not pinned in `{FILE}` (it is sha256 {found})");
                let hint = format!("if it is the plugin you mean: `trueup plugin add {name}`, then commit the file");
                Err(Box::new(Diagnostic::error(codes::LOCK, message).hint(hint)))
            }
        }
    }

    /// The pin of a plugin that comes from a registry: nothing is fetched from there without one.
    ///
    /// # Errors
    ///
    /// A finding where it is not pinned.
    pub fn pin(&self, plugin: &PluginRef) -> Result<&Pin, Box<Diagnostic>> {
        let name = shown(plugin.text());
        self.plugins.get(plugin.text()).ok_or_else(|| {
            let message = format!("plugin `{name}` is not pinned in `{FILE}`, and is fetched by its digest only");
            Box::new(Diagnostic::error(codes::LOCK, message).hint(format!("`trueup plugin add {name}`, then commit the file")))
        })
    }

    /// Holds what a plugin's manifest asks for against what it asked for when it was added.
    ///
    /// # Errors
    ///
    /// A finding that names what is asked beyond that.
    pub fn check_asks(&self, plugin: &PluginRef, asks: &Asks) -> Result<(), Box<Diagnostic>> {
        let Some(agreed) = self.plugins.get(plugin.text()).and_then(|it| it.asks.as_ref()) else { return Ok(()) };
        let more = asks.beyond(agreed);
        if more.is_empty() {
            return Ok(());
        }
        let name = shown(plugin.text());
        let more: Vec<String> = more.iter().map(|it| shown(it)).collect();
        let message = format!("the manifest of plugin `{name}` asks for more than `{FILE}` says: to {}", more.join("; to "));
        let hint = format!("if you agree to that: `trueup plugin upgrade {name} --allow-more-rights`, then commit the file");
        Err(Box::new(Diagnostic::error(codes::LOCK, message).hint(hint)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_keys_are_sorted() {
        let full = Pin {
            manifest: Some(Digest::of(b"m")),
            asks: Asks::from_json(&json!({"hosts": ["config.server"], "dns": true})),
            signed: Some(Digest::of(b"k")),
            ..Pin::from(Digest::of(b"b"))
        };
        let lock = Lock {
            plugins: BTreeMap::from([
                ("oci://h/b:1".into(), full.clone()),
                ("oci://h/c:1".into(), Pin { asks: Some(Asks::default()), ..Pin::from(Digest::of(b"c")) }),
                ("./a.wasm".into(), Digest::of(b"a").into()),
            ]),
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
        let hex = Digest::of(b"x").to_string();
        for more in [r#""asks":{"all":true}"#, r#""asks":[]"#, r#""signed":"me""#, r#""manifest":1"#, r#""other":1"#] {
            check(&format!(r#"{{"format":1,"plugins":{{"./a.wasm":{{"sha256":"{hex}",{more}}}}}}}"#), "does not understand");
        }
        check(&format!(r#"{{"format":1,"schemas":{{"a":{{"sha256":"{hex}","asks":{{}}}}}}}}"#), "does not understand");
    }

    #[test]
    fn an_unbundled_plugin_must_be_the_pinned_one() {
        let (path, good, bad) = (PluginRef::Path("./a.wasm".into()), Digest::of(b"a"), Digest::of(b"b"));
        let lock = Lock { plugins: BTreeMap::from([("./a.wasm".into(), good.into())]), ..Lock::default() };
        lock.check(&path, &good).unwrap();
        assert!(lock.check(&path, &bad).unwrap_err().message.contains("pins sha256"));
        assert!(Lock::default().check(&path, &good).unwrap_err().message.contains("not pinned"));
        Lock::default().check(&PluginRef::Bundled("file".into()), &bad).unwrap();
        assert!(Lock::default().pin(&PluginRef::Oci("oci://h/a:1".into())).unwrap_err().message.contains("not pinned"));
    }

    #[test]
    fn a_manifest_may_ask_for_less_than_when_it_was_added_and_never_for_more() {
        let path = PluginRef::Path("./a.wasm".into());
        let asks = |text: &str| Asks::from_json(&serde_json::from_str(text).unwrap()).unwrap();
        let pin = Pin { asks: Some(asks(r#"{"hosts":["config.server"],"dns":true}"#)), ..Pin::from(Digest::of(b"a")) };
        let lock = Lock { plugins: BTreeMap::from([("./a.wasm".into(), pin)]), ..Lock::default() };
        lock.check_asks(&path, &asks(r#"{"hosts":["config.server"]}"#)).unwrap();
        let refused = lock.check_asks(&path, &asks(r#"{"dns":true,"secrets":true,"directories":true}"#)).unwrap_err();
        assert!(
            refused.message.contains("learn secrets") && refused.message.contains("read and change files"),
            "{}",
            refused.message
        );
        assert!(!refused.message.contains("DNS") && refused.hint.as_ref().unwrap().contains("--allow-more-rights"));
        Lock::default().check_asks(&path, &asks(r#"{"secrets":true}"#)).unwrap();
    }
}
