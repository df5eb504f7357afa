//! What stands in attributes: doc comments, the part of `serde`'s that decides the JSON, and `#[hint(…)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt as _;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Token};

/// The text of the doc comments, lines joined.
pub fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|it| match &it.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// What `serde` does with a container, a field or a variant, as far as the JSON tells.
#[derive(Default)]
pub struct Serde {
    pub rename: Option<String>,
    pub rename_all: Option<LitStr>,
    /// May be left out.
    pub default: bool,
    /// Is no part of the JSON.
    pub skip: bool,
}

/// Attributes of serde that change the JSON in a way that no schema is made for.
const FOREIGN: [&str; 6] = ["flatten", "tag", "content", "untagged", "transparent", "other"];

/// Reads the `serde` attributes.
pub fn serde(attributes: &[Attribute]) -> syn::Result<Serde> {
    let mut found = Serde::default();
    for attribute in attributes.iter().filter(|it| it.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            if let Some(name) = FOREIGN.iter().find(|name| meta.path.is_ident(name)) {
                return Err(meta.error(format!("no schema can be derived with serde's `{name}`; implement `Schema` by hand")));
            }
            if meta.path.is_ident("rename") && meta.input.peek(Token![=]) {
                found.rename = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("rename_all") && meta.input.peek(Token![=]) {
                found.rename_all = Some(meta.value()?.parse::<LitStr>()?);
            } else {
                found.default |= meta.path.is_ident("default");
                found.skip |= meta.path.is_ident("skip");
                skip(&meta)?;
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// Passes over what an attribute holds that is of no interest.
fn skip(meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        let inner;
        syn::parenthesized!(inner in meta.input);
        inner.parse::<TokenStream>()?;
    }
    Ok(())
}

/// The hints of one field.
#[derive(Default)]
pub struct Hints {
    /// Keywords and the expressions of their values.
    pub keywords: Vec<(String, TokenStream)>,
    /// Has a default and so may be left out.
    pub default: bool,
}

/// Hints that stand alone, and the keywords that they set to true.
const FLAGS: [(&str, &str); 9] = [
    ("scope", "x-trueup-scope"),
    ("key", "x-trueup-key"),
    ("computed", "x-trueup-computed"),
    ("immutable", "x-trueup-immutable"),
    ("unordered", "x-trueup-unordered"),
    ("sensitive", "x-trueup-sensitive"),
    ("write_only", "x-trueup-write-only"),
    ("blob", "x-trueup-blob"),
    ("identity", "x-trueup-identity"),
];

/// Hints with a value, and their keywords.
const VALUES: [(&str, &str); 13] = [
    ("default", "default"),
    ("min", "minimum"),
    ("max", "maximum"),
    ("min_length", "minLength"),
    ("max_length", "maxLength"),
    ("min_items", "minItems"),
    ("max_items", "maxItems"),
    ("pattern", "pattern"),
    ("list_key", "x-trueup-list-key"),
    ("case", "x-trueup-case"),
    ("format", "x-trueup-format"),
    ("order", "x-trueup-order"),
    ("title", "title"),
];

/// Reads the `hint` attributes of a field.
pub fn hints(attributes: &[Attribute]) -> syn::Result<Hints> {
    let mut found = Hints::default();
    for attribute in attributes.iter().filter(|it| it.path().is_ident("hint")) {
        attribute.parse_nested_meta(|meta| hint(&meta, &mut found))?;
    }
    Ok(found)
}

fn hint(meta: &ParseNestedMeta<'_>, found: &mut Hints) -> syn::Result<()> {
    let name = meta.path.require_ident()?.unraw().to_string();
    if let Some((_, keyword)) = FLAGS.iter().find(|(it, _)| *it == name) {
        found.keywords.push(((*keyword).to_owned(), quote!(true)));
        return Ok(());
    }
    if let Some((_, keyword)) = VALUES.iter().find(|(it, _)| *it == name) {
        let value = meta.value()?.parse::<Expr>()?;
        found.default |= name == "default";
        found.keywords.push(((*keyword).to_owned(), quote!(#value)));
        return Ok(());
    }
    match name.as_str() {
        "lowercase" | "uppercase" => found.keywords.push(("x-trueup-format".to_owned(), quote!(#name))),
        "status_from" => {
            let inner;
            syn::parenthesized!(inner in meta.input);
            let paths = inner.parse_terminated(|it| it.parse::<LitStr>(), Token![,])?.into_iter().collect::<Vec<_>>();
            found.keywords.push(("x-trueup-status-from".to_owned(), quote!([#(#paths),*])));
        }
        _ => {
            let flags = FLAGS.iter().map(|(it, _)| *it);
            let all = flags.chain(VALUES.iter().map(|(it, _)| *it)).chain(["lowercase", "uppercase", "status_from"]);
            let all = all.collect::<Vec<_>>().join("`, `");
            return Err(meta.error(format!("unknown hint `{name}`; there are `{all}`")));
        }
    }
    Ok(())
}
