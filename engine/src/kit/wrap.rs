//! From a core module to a component.
//!
//! Languages whose toolchain knows WASI preview 1 and no components (Go) build a core module that has the contract's
//! functions under their canonical names. Here it is told what those functions are (the world `provider-full` of the
//! contract in this binary), and what it asks of preview 1 is answered by the adapter that the makers of wasmtime publish.
//!
//! Pure: bytes in, bytes out.

use std::fmt;

use wasi_preview1_component_adapter_provider as adapter;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract.
const CONTRACT: &str = include_str!("../../../wit/provider.wit");

/// The world that an SDK targets.
const WORLD: &str = "provider-full";

/// Why a module is no component.
#[derive(Debug)]
pub enum WrapError {
    /// What was built is no core module: the first bytes say so.
    NoModule,
    /// The module does not have what the contract wants of it, or asks for what it does not offer. The text names it.
    Unfit(String),
    /// The contract in this binary cannot be read. The text says why; no module is at fault.
    Contract(String),
}

impl fmt::Display for WrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModule => f.write_str("what was built is no WebAssembly module"),
            Self::Unfit(text) => write!(f, "the module does not fit the contract: {text}"),
            Self::Contract(text) => write!(f, "the contract of this trueup cannot be read: {text}"),
        }
    }
}

impl std::error::Error for WrapError {}

/// The component that a core module makes.
///
/// # Errors
/// Where `core` is no core module, or lacks an export of the contract, or imports what neither the contract nor WASI
/// preview 1 has.
pub fn component(core: &[u8]) -> Result<Vec<u8>, WrapError> {
    if !core.starts_with(b"\0asm\x01\0\0\0") {
        return Err(WrapError::NoModule);
    }
    let contract = |error: anyhow::Error| WrapError::Contract(format!("{error:#}"));
    let mut resolve = Resolve::default();
    let package = resolve.push_source("provider.wit", CONTRACT).map_err(contract)?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(contract)?;
    let mut module = core.to_vec();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(contract)?;
    let encoded = ComponentEncoder::default()
        .module(&module)
        .and_then(|it| it.adapter(adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER))
        .and_then(|it| it.validate(true).encode());
    encoded.map_err(|error| WrapError::Unfit(format!("{error:#}")))
}
