//! The heart of the provider of DNS zones: names, values, sets, master files, messages and documents.
//!
//! Everything here is pure: text and bytes in, values out. What talks to servers stands beside it and decides nothing about
//! spelling.

pub mod document;
pub mod idn;
pub mod lex;
pub mod manifest;
pub mod message;
pub mod name;
pub mod rdata;
pub mod set;
pub mod wire;
pub mod zonefile;
