//! What the engine offers a provider: the imports of the contract. In a component these are the imports themselves; on
//! any other target they reach the [`double`](crate::double) that the test installed.
//!
//! Every function that takes a list is one call to the engine however long the list is: gather first, then ask once.

/// Generates one import module: its types from the bindings, its functions sent to the import or to the double.
macro_rules! import {
    ($(#[$doc:meta])* $name:ident { $($types:ident),* } $( $(#[$fdoc:meta])* fn $function:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?; )*) => {
        $(#[$doc])*
        pub mod $name {
            #[allow(unused_imports, reason = "some imports have functions only")]
            pub use crate::bindings::trueup::provider::$name::{$($types),*};
            $(
                $(#[$fdoc])*
                pub fn $function($($arg: $type),*) $(-> $result)? {
                    #[cfg(target_family = "wasm")]
                    return crate::bindings::trueup::provider::$name::$function($($arg),*);
                    #[cfg(not(target_family = "wasm"))]
                    return crate::double::current(|double| double.$name().$function($($arg),*));
                }
            )*
        }
    };
}

import! {
    /// Lines of the log. Known secret values are masked, but do not rely on it.
    log { Level }
    /// One line, with fields.
    fn write(level: Level, message: &str, fields: &[(String, String)]);
}

import! {
    /// Whole requests and whole responses; [`crate::http`] is the comfortable way.
    http { HttpError, Request, Response }
    /// One request.
    fn send(request: &Request) -> Result<Response, HttpError>;
    /// Many requests, at most `parallel` at a time (0: as many as the grant allows), answered in their order.
    fn send_all(requests: &[Request], parallel: u32) -> Vec<Result<Response, HttpError>>;
}

import! {
    /// A bounded store that may lose anything at any time.
    cache {}
    /// What was put under `key`, if it is still there.
    fn get(key: &str) -> Option<Vec<u8>>;
    /// Keeps `value` for at most `ttl` milliseconds.
    fn put(key: &str, value: &[u8], ttl: u64);
}

import! {
    /// Plain values of secrets. Only within `apply`.
    secrets { SecretError }
    /// The value behind the text of a `{"$secret": …}`.
    fn reveal(handle: &str) -> Result<String, SecretError>;
}

import! {
    /// Signatures with keys that stay with the engine. Only within `apply`.
    signing { SigningError }
    /// Signs `data` with `hmac-sha256`, `hmac-sha512`, `ed25519`, `rs256` or `es256`.
    fn sign(credential: &str, algorithm: &str, data: &[u8]) -> Result<Vec<u8>, SigningError>;
}

import! {
    /// DNS messages to granted servers.
    dns { DnsError, Query, Transport }
    /// Many queries, at most `parallel` at a time, answered in their order.
    fn exchange_all(queries: &[Query], parallel: u32) -> Vec<Result<Vec<Vec<u8>>, DnsError>>;
}

import! {
    /// Files of the revision, by digest. Answered in `render` and `apply`.
    blobs {}
    /// Up to `len` bytes from `offset`; none where the revision has no such file.
    fn read(sha256: &str, offset: u64, len: u64) -> Option<Vec<u8>>;
}

import! {
    /// Files of granted directories.
    files { Content, Entry, Expectation, FileChange, FileError, FileType, Listing, Operation, Payload, ReadRequest, Write }
    /// What stands in each directory, without going down.
    fn list_all(directories: &[String]) -> Vec<Result<Listing, FileError>>;
    /// What stands at each path, whatever else stands in its directory.
    fn stat_all(paths: &[String]) -> Vec<Result<Entry, FileError>>;
    /// Content and digest of each file.
    fn read_all(requests: &[ReadRequest]) -> Vec<Result<Content, FileError>>;
    /// Only within `apply`. Each entry as it now is; none after a removal.
    fn change_all(changes: &[FileChange]) -> Vec<Result<Option<Entry>, FileError>>;
}
