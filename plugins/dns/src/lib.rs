//! The provider of DNS zones: kinds `Zone`, `RecordSet` and `ZoneFile` on PowerDNS's HTTP API or over RFC 2136.
//!
//! The heart is pure: [`name`], [`rdata`], [`set`], [`zonefile`], [`message`] and [`document`] turn text and bytes into values
//! and decide on every spelling. The back ends ([`powerdns`], [`rfc2136`]) only carry these values to and from servers, and
//! [`provider`] says what the engine's calls mean for them.

pub mod backend;
pub mod config;
pub mod document;
pub mod idn;
pub mod lex;
pub mod manifest;
pub mod message;
pub mod name;
pub mod powerdns;
pub mod provider;
pub mod rdata;
pub mod rfc2136;
pub mod set;
pub mod wire;
pub mod zonefile;

use provider::DnsProvider;
use trueup_sdk::export;

export!(DnsProvider);
