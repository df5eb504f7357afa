//! What a provider may send DNS messages to.

use std::fmt;

use url::Host;

/// A server as `dns` of a provider names it: `dns://host:port` for UDP and TCP, `dns+tls://host:port` for TLS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsServer {
    /// Reached over TLS, and in no other way.
    pub tls: bool,
    /// A name in lower case, or an address.
    pub host: Host<String>,
    /// 53, or 853 for TLS, where the text names none.
    pub port: u16,
}

impl DnsServer {
    /// Reads `dns://127.0.0.1:53`, `dns://ns1.example.com`, `dns+tls://[2001:db8::1]:853`.
    ///
    /// # Errors
    ///
    /// Says what the text must be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "must be `dns://host:port`, or `dns+tls://host:port`";
        if text.len() > 300 {
            return Err(WRONG);
        }
        let (scheme, authority) = text.split_once("://").ok_or(WRONG)?;
        let tls = match scheme {
            "dns" => false,
            "dns+tls" => true,
            _ => return Err(WRONG),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = match port {
            None => usual_port(tls),
            // `parse` alone would take a sign as well.
            Some(text) if text.bytes().all(|it| it.is_ascii_digit()) => text.parse().map_err(|_| WRONG)?,
            Some(_) => return Err(WRONG),
        };
        if port == 0 || host.contains('*') {
            return Err(WRONG);
        }
        let host = match Host::parse(host.strip_suffix('.').unwrap_or(host)).map_err(|_| WRONG)? {
            Host::Domain(name) if name.is_empty() || name.len() > 253 => return Err(WRONG),
            host => host,
        };
        Ok(Self { tls, host, port })
    }
}

fn usual_port(tls: bool) -> u16 {
    if tls { 853 } else { 53 }
}

impl fmt::Display for DnsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, host, port } = self;
        write!(f, "{}://{host}:{port}", if *tls { "dns+tls" } else { "dns" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reads_back_in_one_spelling_and_nothing_else_is_one() {
        for (text, want) in [
            ("dns://127.0.0.1:53", "dns://127.0.0.1:53"),
            ("dns://127.0.0.1", "dns://127.0.0.1:53"),
            ("dns://NS1.Example.com.:5300", "dns://ns1.example.com:5300"),
            ("dns://[2001:DB8::1]", "dns://[2001:db8::1]:53"),
            ("dns+tls://ns1.example.com", "dns+tls://ns1.example.com:853"),
            ("dns://ns_1.example.com", "dns://ns_1.example.com:53"),
        ] {
            assert_eq!(DnsServer::parse(text).map(|it| it.to_string()).as_deref(), Ok(want), "{text}");
        }
        for text in [
            "127.0.0.1:53",
            "dns://",
            "dns://:53",
            "dns://a:0",
            "dns://a:+53",
            "dns://a:",
            "dns://a:99999",
            "dns://*.example.com",
            "dns://u@a",
            "dns://a/x",
            "dns://a b",
            "tcp://a",
            "https://a",
        ] {
            assert!(DnsServer::parse(text).is_err(), "{text}");
        }
    }
}
