//! What `wit-bindgen` makes of `wit/provider.wit`, and nothing else. Authors reach it through the names that the crate
//! re-exports; the module is public because the code of [`export!`](crate::export) refers to it.
#![allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic, clippy::indexing_slicing)]

wit_bindgen::generate!({
    path: "../wit",
    world: "provider-full",
    pub_export_macro: true,
    export_macro_name: "export_bindings",
    default_bindings_module: "trueup_sdk::bindings",
    additional_derives: [PartialEq],
});
