//! `#[derive(Kind)]`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{Data, DeriveInput, Fields, LitInt, LitStr, Type};

use crate::attributes::serde;
use crate::schema::{self, json_name};

/// What `#[kind(…)]` says.
#[derive(Default)]
struct Arguments {
    name: Option<LitStr>,
    scope: Option<LitStr>,
    key: Option<LitStr>,
    status: Option<Type>,
    version: Option<LitInt>,
    batch: Option<LitInt>,
    bytes: Option<LitInt>,
    atomic: bool,
    recover: Option<LitStr>,
    settle: Option<LitInt>,
    replace: Option<LitStr>,
}

fn arguments(input: &DeriveInput) -> syn::Result<Arguments> {
    let mut found = Arguments::default();
    for attribute in input.attrs.iter().filter(|it| it.path().is_ident("kind")) {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.require_ident()?.to_string();
            match name.as_str() {
                "name" => found.name = Some(meta.value()?.parse()?),
                "scope" => found.scope = Some(meta.value()?.parse()?),
                "key" => found.key = Some(meta.value()?.parse()?),
                "status" => found.status = Some(meta.value()?.parse()?),
                "version" => found.version = Some(meta.value()?.parse()?),
                "batch" => found.batch = Some(meta.value()?.parse()?),
                "bytes" => found.bytes = Some(meta.value()?.parse()?),
                "atomic" => found.atomic = true,
                "recover" => {
                    found.recover = Some(one_of(meta.value()?.parse()?, &["key", "token", "mark", "conditional", "none"])?)
                }
                "settle" => found.settle = Some(meta.value()?.parse()?),
                "replace" => found.replace = Some(one_of(meta.value()?.parse()?, &["create-first", "delete-first"])?),
                _ => {
                    let all =
                        "`name`, `scope`, `key`, `status`, `version`, `batch`, `bytes`, `atomic`, `recover`, `settle`, `replace`";
                    return Err(meta.error(format!("unknown part `{name}` of `kind`; there are {all}")));
                }
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn one_of(value: LitStr, allowed: &[&str]) -> syn::Result<LitStr> {
    match allowed.contains(&value.value().as_str()) {
        true => Ok(value),
        false => Err(syn::Error::new(value.span(), format!("must be one of `{}`", allowed.join("`, `")))),
    }
}

/// A template of an address part: pieces of text and names of fields in JSON, alternating, text first.
struct Template {
    pieces: Vec<String>,
    /// The only field, where the template is nothing but that: its name in Rust.
    only: Option<String>,
}

/// Reads `{subname}/{rtype}`; a bare name of a field is that field.
fn template(text: &LitStr, fields: &[(String, String)]) -> syn::Result<Template> {
    let wrong = |message: String| Err(syn::Error::new(text.span(), message));
    let value = text.value();
    let value = if fields.iter().any(|(name, _)| *name == value) { format!("{{{value}}}") } else { value };
    let (mut pieces, mut names, mut rest) = (Vec::new(), Vec::new(), value.as_str());
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { return wrong("`{` without `}`".to_owned()) };
        let Some((_, json)) = fields.iter().find(|(it, _)| it == name) else {
            return wrong(format!("there is no field `{name}`"));
        };
        pieces.extend([before.to_owned(), json.clone()]);
        names.push(name.to_owned());
        rest = after;
    }
    if names.is_empty() {
        return wrong("names no field; write `{field}`".to_owned());
    }
    let bare = names.len() == 1 && rest.is_empty() && pieces.first().is_some_and(String::is_empty);
    pieces.push(rest.to_owned());
    Ok(Template { pieces, only: names.pop().filter(|_| bare) })
}

fn pieces(template: Option<&Template>) -> TokenStream {
    let pieces = template.map(|it| it.pieces.as_slice()).unwrap_or_default();
    quote!(&[#(#pieces),*])
}

/// The implementations of `Schema` and `Kind`.
pub fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let arguments = arguments(input)?;
    let container = serde(&input.attrs)?;
    let Data::Struct(syn::DataStruct { fields: Fields::Named(named), .. }) = &input.data else {
        return Err(syn::Error::new_spanned(&input.ident, "a kind is a struct with named fields"));
    };
    let mut fields = Vec::new();
    for field in &named.named {
        let ident = field.ident.as_ref().map(|it| it.unraw().to_string()).unwrap_or_default();
        let json = json_name(&ident, &serde(&field.attrs)?, &container)?;
        fields.push((ident, json));
    }
    let read = |text: &Option<LitStr>| text.as_ref().map(|it| template(it, &fields)).transpose();
    let (scope, key) = (read(&arguments.scope)?, read(&arguments.key)?);
    let mark = |template: &Option<Template>, keyword| Some((template.as_ref()?.only.clone()?, keyword));
    let marks = [mark(&scope, "x-trueup-scope"), mark(&key, "x-trueup-key")].into_iter().flatten().collect::<Vec<_>>();
    let schema = schema::derive(input, &marks)?;
    let own_name = LitStr::new(&input.ident.unraw().to_string(), Span::call_site());
    let name = arguments.name.as_ref().unwrap_or(&own_name);
    let status = arguments.status.as_ref().map_or_else(|| quote!(()), |it| quote!(#it));
    let options = options(&arguments, key.is_some());
    let (scope, key) = (pieces(scope.as_ref()), pieces(key.as_ref()));
    let (ident, (generics, of, bounds)) = (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        #schema
        impl #generics ::trueup_sdk::Kind for #ident #of #bounds {
            const NAME: &'static str = #name;
            const SCOPE: &'static [&'static str] = #scope;
            const KEY: &'static [&'static str] = #key;
            type Status = #status;
            fn options() -> ::trueup_sdk::kind::Options {
                #options
            }
        }
    })
}

fn options(arguments: &Arguments, keyed: bool) -> TokenStream {
    let number = |value: &Option<LitInt>, default: TokenStream| value.as_ref().map_or(default, |it| quote!(#it));
    let version = number(&arguments.version, quote!(1));
    let settle = number(&arguments.settle, quote!(0));
    let items = number(&arguments.batch, quote!(0));
    let bytes = number(&arguments.bytes, quote!(1_048_576));
    let atomic = arguments.atomic;
    let recover = arguments.recover.as_ref().map_or(if keyed { "key" } else { "none" }.to_owned(), LitStr::value);
    let replace = arguments.replace.as_ref().map_or("delete-first".to_owned(), LitStr::value);
    quote! {
        ::trueup_sdk::kind::Options {
            schema_version: #version,
            batch_items: #items,
            batch_bytes: #bytes,
            atomic: #atomic,
            recover: #recover,
            settle_time: #settle,
            replace: #replace,
        }
    }
}
