//! The settings of one configured provider.

use std::collections::BTreeSet;

use trueup_sdk::{Error, Fault, Json, Result};

use crate::document;
use crate::manifest::{DEFAULT_TTL, MAX_BODY, TIMEOUT};
use crate::name::{Name, shorten};

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    PowerDns,
    Rfc2136,
}

/// What `config` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub flavor: Flavor,
    /// An origin, without a `/` at its end.
    pub server: String,
    /// PowerDNS's name for the server.
    pub server_id: String,
    /// The only zones that documents may be about; none: all.
    zones: Option<BTreeSet<Name>>,
    /// Bytes of one request to PowerDNS.
    pub max_body: usize,
    /// Seconds, of a new set that declares none.
    pub ttl: u32,
    /// Milliseconds that one request may take.
    pub timeout: u64,
    /// Whether DNS messages are signed with the key in the slot `server`.
    pub signed: bool,
}

impl Config {
    /// Reads settings that the manifest's schema has judged.
    ///
    /// # Errors
    /// Where they cannot work together, and for a zone whose name is none.
    pub fn parse(config: &Json) -> Result<Self> {
        let text = |field: &str| config.get(field).and_then(Json::as_str);
        let number = |field: &str, default: u32| {
            config.get(field).and_then(Json::as_u64).and_then(|it| u32::try_from(it).ok()).unwrap_or(default)
        };
        let wrong = |field: &str, rule: &str| Err(Error::invalid("dns.config", format!("`config.{field}` {rule}")));
        let flavor = match text("flavor") {
            Some("powerdns") => Flavor::PowerDns,
            Some("rfc2136") => Flavor::Rfc2136,
            _ => return wrong("flavor", "must be `powerdns` or `rfc2136`"),
        };
        let server = text("server").unwrap_or_default().trim_end_matches('/').to_owned();
        let scheme = server.split("://").next().unwrap_or_default();
        match flavor {
            Flavor::PowerDns if !matches!(scheme, "http" | "https") => {
                return wrong("server", "must begin with http:// or https:// where `flavor` is `powerdns`");
            }
            Flavor::Rfc2136 if !matches!(scheme, "dns" | "dns+tls") => {
                return wrong("server", "must begin with dns:// or dns+tls:// where `flavor` is `rfc2136`");
            }
            Flavor::PowerDns | Flavor::Rfc2136 => {}
        }
        let zone = |it: &Json| {
            let name = Name::absolute(it.as_str().unwrap_or_default());
            name.map_err(|rule| Error::invalid("dns.config", format!("`config.zones`: {rule}")))
        };
        let zones = config.get("zones").and_then(Json::as_array).map(|it| it.iter().map(zone).collect()).transpose()?;
        Ok(Self {
            flavor,
            server,
            server_id: text("serverId").unwrap_or("localhost").to_owned(),
            zones,
            max_body: number("maxBody", MAX_BODY) as usize,
            ttl: number("ttl", DEFAULT_TTL),
            timeout: u64::from(number("timeout", TIMEOUT)).saturating_mul(1000),
            signed: config.get("tsig").and_then(Json::as_bool).unwrap_or(true),
        })
    }

    /// The zone that a scope names, if documents may be about it.
    ///
    /// # Errors
    /// `invalid` for a scope that is no zone or is spelt in another way than documents have it, as its objects would be nobody's;
    /// `denied` for a zone that `zones` does not list.
    pub fn zone(&self, scope: &str) -> Result<Name> {
        let wrong = |rule: String| Error::invalid("dns.scope", format!("`{}`: {rule}", shorten(scope)));
        let zone = Name::absolute(scope).map_err(|rule| wrong(format!("the scope is no zone: {rule}")))?;
        if document::scope(&zone) != scope {
            return Err(wrong(format!("write the scope as `{}`", document::scope(&zone))));
        }
        match &self.zones {
            Some(zones) if !zones.contains(&zone) => {
                let text = format!("zone `{scope}` is not among `config.zones` of the provider; add it there if it is meant");
                Err(Error::new(Fault::Denied, "dns.zone-not-listed", text))
            }
            _ => Ok(zone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(config: Json, want: Result<&str, &str>) {
        let got = Config::parse(&config).map(|it| it.server).map_err(|it| it.message);
        assert_eq!(got.as_deref().map_err(|it| it.contains(want.err().unwrap_or("?"))), want.map_err(|_| true), "{config}");
    }

    #[test]
    fn a_flavor_takes_only_servers_that_it_can_speak_to() {
        check(json!({"flavor": "powerdns", "server": "http://127.0.0.1:8081/"}), Ok("http://127.0.0.1:8081"));
        check(json!({"flavor": "powerdns", "server": "dns://127.0.0.1:53"}), Err("must begin with http://"));
        check(json!({"flavor": "rfc2136", "server": "dns+tls://ns.example.com:853"}), Ok("dns+tls://ns.example.com:853"));
        check(json!({"flavor": "rfc2136", "server": "https://ns.example.com"}), Err("must begin with dns://"));
        check(json!({"flavor": "rfc2136", "server": "dns://a", "zones": ["a..b"]}), Err("empty label"));
    }

    #[test]
    fn only_listed_zones_are_anybodys_business() {
        let config = Config::parse(&json!({"flavor": "rfc2136", "server": "dns://a", "zones": ["Example.COM."]})).unwrap();
        assert!(config.zone("example.com").is_ok());
        for (scope, want) in [
            ("Example.com", "write the scope as `example.com`"),
            ("example.com.", "write the scope as `example.com`"),
            ("bücher.example", "write the scope as `xn--bcher-kva.example`"),
            ("a..b", "the scope is no zone"),
        ] {
            let refused = config.zone(scope).unwrap_err();
            assert!(refused.fault == Fault::Invalid && refused.message.contains(want), "{scope}: {refused}");
        }
        let refused = config.zone("example.net").unwrap_err();
        assert!(refused.fault == Fault::Denied && refused.message.contains("`example.net` is not among"), "{refused}");
    }
}
