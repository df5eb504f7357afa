//! `#[provider(…)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Fields, Ident, ItemStruct, LitInt, LitStr, Token, parenthesized};

/// What `#[provider(…)]` says.
#[derive(Default)]
pub struct Arguments {
    name: Option<LitStr>,
    crud: Vec<Ident>,
    scan: Vec<Ident>,
    batch: Vec<Ident>,
    hosts: Vec<LitStr>,
    reads: Vec<LitStr>,
    credentials: Vec<(String, Vec<String>)>,
    dns: bool,
    secrets: bool,
    parallel: Option<LitInt>,
}

/// `token` or `token(bearer, header)`.
struct Slot(String, Vec<String>);

impl Parse for Slot {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.parse::<LitStr>().map(|it| it.value()).or_else(|_| input.parse::<Ident>().map(|it| it.to_string()))?;
        let mut schemes = Vec::new();
        if input.peek(syn::token::Paren) {
            let inner;
            parenthesized!(inner in input);
            schemes = Punctuated::<LitStr, Token![,]>::parse_terminated(&inner)?.iter().map(LitStr::value).collect();
        }
        Ok(Self(name, schemes))
    }
}

/// The items within the parentheses that follow.
fn list<T: Parse>(input: ParseStream<'_>) -> syn::Result<Vec<T>> {
    let inner;
    parenthesized!(inner in input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated(&inner)?.into_iter().collect())
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut found = Self::default();
        while !input.is_empty() {
            let name = input.parse::<Ident>()?;
            match name.to_string().as_str() {
                "name" => {
                    input.parse::<Token![=]>()?;
                    found.name = Some(input.parse()?);
                }
                "parallel" => {
                    input.parse::<Token![=]>()?;
                    found.parallel = Some(input.parse()?);
                }
                "crud" => found.crud = list(input)?,
                "scan" => found.scan = list(input)?,
                "batch" => found.batch = list(input)?,
                "hosts" => found.hosts = list(input)?,
                "reads" => found.reads = list(input)?,
                "credentials" => {
                    found.credentials = list::<Slot>(input)?.into_iter().map(|Slot(name, schemes)| (name, schemes)).collect()
                }
                "dns" => found.dns = true,
                "secrets" => found.secrets = true,
                _ => {
                    let all = "`name`, `crud`, `scan`, `batch`, `hosts`, `dns`, `reads`, `credentials`, `secrets`, `parallel`";
                    return Err(syn::Error::new(name.span(), format!("unknown part of `provider`; there are {all}")));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(found)
    }
}

/// How one kind is served.
struct Served<'a> {
    kind: &'a Ident,
    scan: bool,
    crud: bool,
    batch: bool,
}

fn served(arguments: &Arguments) -> syn::Result<Vec<Served<'_>>> {
    let mut all: Vec<Served<'_>> = Vec::new();
    let lists = [&arguments.crud, &arguments.scan, &arguments.batch];
    for kind in lists.into_iter().flatten() {
        if all.iter().all(|it| it.kind != kind) {
            let within = |list: &[Ident]| list.contains(kind);
            let (scan, crud, batch) = (within(&arguments.scan), within(&arguments.crud), within(&arguments.batch));
            if !scan && !crud {
                return Err(syn::Error::new_spanned(kind, "is never observed: name it in `scan(…)` or `crud(…)` too"));
            }
            if !batch && !crud {
                return Err(syn::Error::new_spanned(kind, "is never changed: name it in `batch(…)` or `crud(…)` too"));
            }
            all.push(Served { kind, scan, crud, batch });
        }
    }
    Ok(all)
}

/// The struct, its implementation of `Provider`, and its export.
pub fn expand(arguments: &Arguments, item: &ItemStruct) -> syn::Result<TokenStream> {
    let provider = &item.ident;
    let Fields::Unnamed(fields) = &item.fields else {
        return Err(syn::Error::new_spanned(provider, "a provider is a tuple struct of its settings: `struct Notes(Conf);`"));
    };
    let Some(settings) = fields.unnamed.first().filter(|_| fields.unnamed.len() == 1).map(|it| &it.ty) else {
        return Err(syn::Error::new_spanned(provider, "a provider has one field: its settings"));
    };
    let served = served(arguments)?;
    let manifest = manifest(arguments, provider, settings, &served);
    let arm = |kind: &Ident, call: TokenStream| quote!(<#kind as ::trueup_sdk::Kind>::NAME => #call,);
    let each = |call: &dyn Fn(&Served<'_>) -> Option<TokenStream>| {
        served.iter().filter_map(|it| Some(arm(it.kind, call(it)?))).collect::<TokenStream>()
    };
    let scan =
        each(&|Served { kind, scan, .. }| scan.then(|| quote!(::trueup_sdk::serve::scan::<#kind, Self>(self, query, info))));
    let read =
        each(&|Served { kind, crud, .. }| crud.then(|| quote!(::trueup_sdk::serve::read::<#kind, Self>(self, lookup, info))));
    let apply = each(&|Served { kind, batch, .. }| {
        Some(match batch {
            true => quote!(::trueup_sdk::serve::apply_batch::<#kind, Self>(self, changes, info)),
            false => quote!(::trueup_sdk::serve::apply_each::<#kind, Self>(self, changes, info)),
        })
    });
    let poll =
        each(&|Served { kind, crud, .. }| crud.then(|| quote!(::trueup_sdk::serve::poll::<#kind, Self>(self, handle, info))));
    let render = each(&|Served { kind, .. }| Some(quote!(::trueup_sdk::serve::render::<#kind>(item))));
    Ok(quote! {
        #item

        impl ::trueup_sdk::Provider for #provider {
            fn manifest() -> ::trueup_sdk::Json {
                #manifest
            }

            fn configure(config: ::trueup_sdk::Json, _: Option<::trueup_sdk::Json>) -> ::trueup_sdk::Result<Self> {
                ::trueup_sdk::serve::settings::<#settings>(config).map(Self)
            }

            fn scan(&self, queries: Vec<::trueup_sdk::ScopeQuery>, info: &::trueup_sdk::CallInfo)
                -> Vec<::trueup_sdk::Result<::trueup_sdk::Snapshot>> {
                let one = |query: &::trueup_sdk::ScopeQuery| match query.kind.as_str() {
                    #scan
                    other => Err(::trueup_sdk::serve::unlisted(other)),
                };
                queries.iter().map(one).collect()
            }

            fn read(&self, lookups: Vec<::trueup_sdk::Lookup>, info: &::trueup_sdk::CallInfo) -> Vec<::trueup_sdk::Observation> {
                let one = |lookup: &::trueup_sdk::Lookup| match lookup.address.kind.as_str() {
                    #read
                    other => ::trueup_sdk::Observation::Failed(::trueup_sdk::serve::unlisted(other).into()),
                };
                lookups.iter().map(one).collect()
            }

            fn apply(&self, changes: Vec<::trueup_sdk::Change>, info: &::trueup_sdk::CallInfo) -> Vec<::trueup_sdk::Outcome> {
                ::trueup_sdk::serve::by_kind(changes, |kind, changes| match kind {
                    #apply
                    other => changes.iter().map(|_| ::trueup_sdk::Outcome::failed(::trueup_sdk::serve::unlisted(other))).collect(),
                })
            }

            fn poll(&self, handles: Vec<String>, info: &::trueup_sdk::CallInfo) -> Vec<::trueup_sdk::Outcome> {
                let one = |handle: &String| match ::trueup_sdk::serve::Handle::read(handle) {
                    Err(error) => ::trueup_sdk::Outcome::failed(error.unsettled()),
                    Ok(handle) => match handle.kind.as_str() {
                        #poll
                        other => ::trueup_sdk::Outcome::failed(::trueup_sdk::serve::unlisted(other).unsettled()),
                    },
                };
                handles.iter().map(one).collect()
            }

            fn render(items: Vec<::trueup_sdk::Declared>) -> Vec<::trueup_sdk::Rendered> {
                let one = |item: ::trueup_sdk::Declared| match item.address.kind.as_str() {
                    #render
                    other => ::trueup_sdk::serve::unrendered(other),
                };
                items.into_iter().map(one).collect()
            }
        }

        ::trueup_sdk::export!(#provider);
    })
}

fn manifest(arguments: &Arguments, provider: &Ident, settings: &syn::Type, served: &[Served<'_>]) -> TokenStream {
    let name = arguments.name.as_ref().map_or_else(|| provider.to_string().to_lowercase(), LitStr::value);
    let (hosts, reads, dns, secrets) = (&arguments.hosts, &arguments.reads, arguments.dns, arguments.secrets);
    let parallel = arguments.parallel.as_ref().map_or_else(|| quote!(4), |it| quote!(#it));
    let credentials = arguments.credentials.iter().map(|(slot, schemes)| quote!(#slot: { "schemes": [#(#schemes),*] }));
    let kinds = served.iter().map(|Served { kind, scan, .. }| {
        let observe = if *scan { "scan" } else { "read" };
        quote!((<#kind as ::trueup_sdk::Kind>::NAME, ::trueup_sdk::serve::manifest::<#kind>(#observe)))
    });
    let operations = served.iter().any(|it| it.crud && !it.batch);
    quote! {
        ::trueup_sdk::serve::provider_manifest(
            <#settings as ::trueup_sdk::Schema>::schema(),
            &[#(#kinds),*],
            #operations,
            ::trueup_sdk::json!({
                "name": #name,
                "version": env!("CARGO_PKG_VERSION"),
                "hosts": [#(#hosts),*],
                "dns": #dns,
                "reads": [#(#reads),*],
                "credentials": { #(#credentials),* },
                "secrets": #secrets,
                "parallel": #parallel,
            }),
        )
    }
}
