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

#[cfg(test)]
mod tests {
    use super::*;

    const I32: u8 = 0x7f;
    const I64: u8 = 0x7e;

    /// Parameters that a list and the facts of a call make.
    const CALL: &[u8] = &[I32, I32, I64, I64, I32, I32, I32, I32];

    /// The functions of the world with their flat parameters; each answers with an address, `cancel` with nothing.
    const EXPORTS: &[(&str, &[u8])] = &[
        ("trueup:provider/lifecycle@0.1.0#describe", &[]),
        ("trueup:provider/lifecycle@0.1.0#configure", &[I32; 5]),
        ("trueup:provider/lifecycle@0.1.0#scan", CALL),
        ("trueup:provider/lifecycle@0.1.0#read", CALL),
        ("trueup:provider/lifecycle@0.1.0#apply", CALL),
        ("trueup:provider/rendering@0.1.0#render", &[I32, I32]),
        ("trueup:provider/planning@0.1.0#refine", CALL),
        ("trueup:provider/operations@0.1.0#poll", CALL),
        ("trueup:provider/operations@0.1.0#cancel", CALL),
        ("trueup:provider/schemas@0.1.0#discover", &[I32, I32, I32, I64, I64, I32, I32, I32, I32]),
        ("trueup:provider/discovery@0.1.0#scopes", CALL),
        ("trueup:provider/migration@0.1.0#upgrade", &[I32, I32]),
        ("trueup:provider/health-checks@0.1.0#assess", &[I32, I32]),
        ("cabi_realloc", &[I32; 4]),
    ];

    const MANIFEST: &[u8] = br#"{"format":1,"name":"tiny","version":"1","kinds":{}}"#;

    fn number(mut value: usize) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            let low = (value & 0x7f) as u8;
            value >>= 7;
            out.push(if value > 0 { low | 0x80 } else { low });
            if value == 0 {
                return out;
            }
        }
    }

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [number(bytes.len()), bytes.to_vec()].concat()
    }

    /// A section of items.
    fn section(id: u8, items: &[Vec<u8>]) -> Vec<u8> {
        [vec![id], sized(&[number(items.len()), items.concat()].concat())].concat()
    }

    /// A module whose `describe` answers with [`MANIFEST`] once it has asked the clock for the time, and whose other
    /// functions of the contract stop. `imported` is where it has the clock from, `lacks` an export that it does not have.
    fn module(imported: (&str, &str), lacks: &str) -> Vec<u8> {
        let exports = EXPORTS.iter().filter(|(name, _)| !name.ends_with(lacks) || lacks.is_empty()).collect::<Vec<_>>();
        let mut types = vec![[vec![0x60], sized(&[I32, I64, I32]), sized(&[I32])].concat()];
        let (mut functions, mut names, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (name, parameters)) in exports.iter().enumerate() {
            let result: &[u8] = if name.ends_with("#cancel") { &[] } else { &[I32] };
            types.push([vec![0x60], sized(parameters), sized(result)].concat());
            functions.push(number(index + 1));
            names.push([sized(name.as_bytes()), vec![0], number(index + 1)].concat());
            // clock_time_get(1, 0, 64), dropped; the address 16 of text and length.
            let describe: &[u8] = &[0, 0x41, 1, 0x42, 0, 0x41, 0xc0, 0, 0x10, 0, 0x1a, 0x41, 16, 0x0b];
            // The adapter's state and stack, a page each: memory.grow(1) << 16.
            let realloc: &[u8] = &[0, 0x41, 1, 0x40, 0, 0x41, 16, 0x74, 0x0b];
            bodies.push(sized(match *name {
                name if name.ends_with("#describe") => describe,
                "cabi_realloc" => realloc,
                _ => &[0, 0, 0x0b],
            }));
        }
        names.push([sized(b"memory"), vec![2, 0]].concat());
        let mut data = [1024_u32.to_le_bytes(), (MANIFEST.len() as u32).to_le_bytes()].concat();
        data.resize(1024 - 16, 0);
        data.extend(MANIFEST);
        let import = [sized(imported.0.as_bytes()), sized(imported.1.as_bytes()), vec![0, 0]].concat();
        [
            b"\0asm\x01\0\0\0".to_vec(),
            section(1, &types),
            section(2, &[import]),
            section(3, &functions),
            section(5, &[vec![0, 2]]),
            section(7, &names),
            section(10, &bodies),
            section(11, &[[vec![0, 0x41, 16, 0x0b], sized(&data)].concat()]),
        ]
        .concat()
    }

    const CLOCK: (&str, &str) = ("wasi_snapshot_preview1", "clock_time_get");

    #[tokio::test]
    async fn a_core_module_becomes_a_component_that_the_host_loads() {
        let wrapped = component(&module(CLOCK, "")).unwrap();
        assert!(wrapped.starts_with(b"\0asm\x0d\0\x01\0"));
        let folder = tempfile::tempdir().unwrap();
        let options = trueup_host::RuntimeOptions { cache_dir: folder.path().into(), limits: trueup_host::Limits::default() };
        let plugin = trueup_host::Runtime::new(options).unwrap().load(&wrapped).await.unwrap();
        assert_eq!(plugin.manifest().name, "tiny");
        let ours: Vec<&String> = plugin.imports().iter().filter(|it| !it.starts_with("wasi:")).collect();
        assert_eq!(ours, ["trueup:provider/types@0.1.0"], "what the module does not use is not asked for");
    }

    #[test]
    fn what_is_no_core_module_is_not_wrapped() {
        for bytes in [&b""[..], b"\0asm", b"\x7fELF", b"\0asm\x0d\0\x01\0"] {
            assert!(matches!(component(bytes), Err(WrapError::NoModule)), "{bytes:?}");
        }
        assert!(matches!(component(b"\0asm\x01\0\0\0\xff"), Err(WrapError::Unfit(_))));
    }

    #[test]
    fn a_function_of_the_contract_that_is_missing_is_named() {
        let error = component(&module(CLOCK, "#scan")).unwrap_err().to_string();
        assert!(error.contains("lifecycle@0.1.0") && error.contains("`scan`"), "{error}");
    }

    #[test]
    fn an_import_that_nobody_answers_is_named() {
        let error = component(&module(("env", "getpid"), "")).unwrap_err().to_string();
        assert!(error.contains("env") && error.contains("getpid"), "{error}");
    }
}
