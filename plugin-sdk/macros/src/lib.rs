//! Derive and attribute macros of `trueup-sdk`; their documentation stands there, beside the traits that they implement.
//!
//! What Rust types and doc comments already say is not written twice: field names and optionality come from the type and
//! its `serde` attributes, descriptions from doc comments, the rest from `#[hint(…)]`.

mod attributes;
mod kind;
mod names;
mod provider;
mod schema;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// JSON Schema of a struct with named fields, or of an enum without data.
#[proc_macro_derive(Schema, attributes(hint, serde))]
pub fn derive_schema(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    answer(schema::derive(&input, &[]))
}

/// A provider's settings: [`Schema`](derive_schema), and fit for `#[provider]`.
#[proc_macro_derive(Settings, attributes(hint, serde))]
pub fn derive_settings(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    answer(schema::derive(&input, &[]).map(|schema| {
        let (name, (generics, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
        quote::quote! {
            #schema
            impl #generics ::trueup_sdk::Settings for #name #arguments #bounds {}
        }
    }))
}

/// A kind: `#[kind(name = "Note", scope = "{board}", key = "{title}", …)]`.
#[proc_macro_derive(Kind, attributes(kind, hint, serde))]
pub fn derive_kind(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    answer(kind::derive(&input))
}

/// A provider of kinds: `#[provider(name = "notes", crud(Note), hosts("https://notes.example"), …)]`.
#[proc_macro_attribute]
pub fn provider(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments as provider::Arguments);
    let item = parse_macro_input!(item as syn::ItemStruct);
    answer(provider::expand(&arguments, &item))
}

fn answer(made: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    made.unwrap_or_else(syn::Error::into_compile_error).into()
}
