//! Plugins that are part of the binary: built to Wasm and embedded by `build.rs`, pinned by being there.

/// One embedded component.
#[derive(Clone, Copy, Debug)]
pub struct Bundled {
    /// What `plugin:` in `trueup.yaml` calls it.
    pub name: &'static str,
    /// SHA-256 of the component, 64 hex digits, taken when it was embedded.
    pub sha256: &'static str,
    pub wasm: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// The bundled plugin of that name.
pub fn find(name: &str) -> Option<&'static Bundled> {
    ALL.iter().find(|it| it.name == name)
}
