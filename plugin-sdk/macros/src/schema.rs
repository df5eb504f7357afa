//! `#[derive(Schema)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{Data, DeriveInput, Field, Fields, LitStr};

use crate::attributes::{Serde, docs, hints, serde};
use crate::names::rename;

/// The implementation; `marks` are keywords to set to true on fields, by the fields' names in Rust.
pub fn derive(input: &DeriveInput, marks: &[(String, &str)]) -> syn::Result<TokenStream> {
    let container = serde(&input.attrs)?;
    let body = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => object(&docs(&input.attrs), fields.named.iter(), &container, marks)?,
            _ => return Err(syn::Error::new_spanned(&input.ident, "a schema is derived for named fields only")),
        },
        Data::Enum(data) => {
            let mut names = Vec::new();
            for variant in &data.variants {
                if !matches!(variant.fields, Fields::Unit) {
                    return Err(syn::Error::new_spanned(variant, "a schema is derived for variants without data only"));
                }
                names.push(json_name(&variant.ident.unraw().to_string(), &serde(&variant.attrs)?, &container)?);
            }
            let description = docs(&input.attrs);
            quote!(::trueup_sdk::schema::choice(#description, &[#(#names),*]))
        }
        Data::Union(_) => return Err(syn::Error::new_spanned(&input.ident, "a schema is derived for structs and enums only")),
    };
    let (name, (generics, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        impl #generics ::trueup_sdk::Schema for #name #arguments #bounds {
            fn schema() -> ::trueup_sdk::Json {
                #body
            }
        }
    })
}

fn object<'a>(
    description: &str,
    fields: impl Iterator<Item = &'a Field>,
    container: &Serde,
    marks: &[(String, &str)],
) -> syn::Result<TokenStream> {
    let mut steps = Vec::new();
    for field in fields {
        let own = serde(&field.attrs)?;
        if own.skip {
            continue;
        }
        let ident = field.ident.as_ref().map(|it| it.unraw().to_string()).unwrap_or_default();
        let (name, hints, kind, doc) = (json_name(&ident, &own, container)?, hints(&field.attrs)?, &field.ty, docs(&field.attrs));
        let optional = own.default || container.default || hints.default;
        let marked =
            marks.iter().filter(|(it, _)| *it == ident).map(|(_, keyword)| quote!((#keyword, ::trueup_sdk::json!(true))));
        let hinted = hints.keywords.iter().map(|(keyword, value)| quote!((#keyword, ::trueup_sdk::json!(#value))));
        let keywords = hinted.chain(marked);
        steps.push(quote!(.field::<#kind>(#name, #doc, #optional, &[#(#keywords),*])));
    }
    Ok(quote!(::trueup_sdk::schema::Object::new(#description) #(#steps)* .build()))
}

/// The name in JSON of a field or variant.
pub fn json_name(ident: &str, own: &Serde, container: &Serde) -> syn::Result<String> {
    match (&own.rename, &container.rename_all) {
        (Some(name), _) => Ok(name.clone()),
        (None, Some(rule)) => rename(&rule.value(), ident).map_err(|error| wrong(rule, error)),
        (None, None) => Ok(ident.to_owned()),
    }
}

fn wrong(at: &LitStr, message: String) -> syn::Error {
    syn::Error::new(at.span(), message)
}
