//! What `wit/` generates, and nothing else. Conversions are in [`crate::convert`], the imports in [`crate::imports`].
#![allow(missing_docs, reason = "generated from wit/, where the documentation stands")]
#![allow(clippy::all, clippy::pedantic, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "trueup:provider/provider-full",
    imports: {
        "trueup:provider/http": async | trappable,
        "trueup:provider/dns": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    // For the tap, which shows questions and answers as JSON.
    additional_derives: [serde::Serialize, serde::Deserialize],
});
