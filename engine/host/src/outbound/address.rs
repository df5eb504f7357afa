//! Which addresses a granted name may lead to, and the resolver that holds every connection to that.

use std::fmt;
use std::iter::once;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How far an address is from the public network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Public,
    /// Loopback, private and carrier networks: granted by an exact name only, which a person wrote.
    Private,
    /// Link-local (cloud metadata services), multicast, unspecified, reserved: granted by the address itself only.
    Never,
}

/// Where an address lies.
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(it) => reach_v4(it),
        IpAddr::V6(it) => reach_v6(it),
    }
}

fn reach_v4(it: Ipv4Addr) -> Reach {
    let [a, b, c, _] = it.octets();
    let reserved = it.is_unspecified() || it.is_link_local() || it.is_multicast() || it.is_broadcast() || a == 0 || a >= 240;
    let carrier = a == 100 && (64..128).contains(&b);
    let tests = (a, b, c) == (192, 0, 0) || it.is_documentation() || (a == 198 && (b == 18 || b == 19));
    if reserved {
        Reach::Never
    } else if it.is_loopback() || it.is_private() || carrier || tests {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_v6(it: Ipv6Addr) -> Reach {
    let [first, second, third, fourth, fifth, sixth, high, low] = it.segments();
    let embedded = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    if it.is_loopback() {
        return Reach::Private;
    }
    // Addresses that carry an IPv4 address lead where that one does: mapped, compatible, NAT64, 6to4.
    if let Some(v4) = it.to_ipv4_mapped() {
        return reach_v4(v4);
    }
    if (first, second, third, fourth, fifth, sixth) == (0, 0, 0, 0, 0, 0) {
        return Reach::Never;
    }
    if (first, second) == (0x64, 0xff9b) {
        return reach_v4(embedded(high, low));
    }
    if first == 0x2002 {
        return reach_v4(embedded(second, third));
    }
    if it.is_multicast() || (first & 0xffc0) == 0xfe80 || first == 0xfec0 {
        return Reach::Never;
    }
    if (first & 0xfe00) == 0xfc00 || (first, second) == (0x2001, 0xdb8) || (first, second) == (0x2001, 0) {
        // AWS answers its metadata service at fd00:ec2::254 as well.
        return if (first, second) == (0xfd00, 0x0ec2) { Reach::Never } else { Reach::Private };
    }
    Reach::Public
}

/// A name led only to addresses that its grant does not reach.
#[derive(Debug)]
pub(crate) struct Unreachable {
    name: String,
    address: IpAddr,
    /// The key of the provider that would have to name the address.
    key: &'static str,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, address, key } = self;
        match reach(*address) {
            Reach::Never => write!(f, "`{name}` leads to {address}, which is reached only where `{key}` names that very address"),
            _ => write!(f, "`{name}` leads to {address} in a private network; name the host itself in `{key}`, not a pattern"),
        }
    }
}

impl std::error::Error for Unreachable {}

/// Resolves a name, and gives only addresses that may be connected to. What it gives is what is connected to, so that a
/// second answer of the name server changes nothing. `exact`: the grant under `key` names this very name.
///
/// # Errors
///
/// Fails with [`Unreachable`] where every address is out of the grant's reach, and where the name is not found.
pub(crate) async fn resolve(
    name: &str,
    port: u16,
    exact: bool,
    key: &'static str,
) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((name, port)).await?.collect();
    let allowed = |it: &SocketAddr| match reach(it.ip()) {
        Reach::Public => true,
        Reach::Private => exact,
        Reach::Never => false,
    };
    let judged: Vec<SocketAddr> = found.iter().copied().filter(allowed).collect();
    match (judged.is_empty(), found.first()) {
        (true, Some(first)) => Err(Box::new(Unreachable { name: name.to_owned(), address: first.ip(), key })),
        _ => Ok(judged),
    }
}

/// [`resolve`] for the HTTP client.
pub(crate) struct Judge {
    /// Names that the grant names exactly.
    pub(crate) exact: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// A name that is asked for in TLS alone, and the host that is meant by it.
    pub(crate) instead: Option<(String, url::Host<String>)>,
}

impl Resolve for Judge {
    fn resolve(&self, name: Name) -> Resolving {
        let asked = name.as_str().trim_end_matches('.');
        let host = match &self.instead {
            Some((only, host)) if only.eq_ignore_ascii_case(asked) => host.clone(),
            _ => url::Host::Domain(name.as_str().to_owned()),
        };
        let name = match host {
            // As in a URL: an address that is granted is not judged once more.
            url::Host::Ipv4(it) => return Box::pin(async move { Ok(Box::new(once(SocketAddr::from((it, 0)))) as Addrs) }),
            url::Host::Ipv6(it) => return Box::pin(async move { Ok(Box::new(once(SocketAddr::from((it, 0)))) as Addrs) }),
            url::Host::Domain(name) => name,
        };
        let exact = (self.exact)(name.trim_end_matches('.'));
        Box::pin(async move {
            let judged = resolve(&name, 0, exact, "hosts").await?;
            Ok(Box::new(judged.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_inner_address_is_seen_through() {
        let cases = [
            ("93.184.216.34", Reach::Public),
            ("2606:2800:220:1::1", Reach::Public),
            ("127.0.0.1", Reach::Private),
            ("::1", Reach::Private),
            ("10.1.2.3", Reach::Private),
            ("192.168.1.1", Reach::Private),
            ("172.31.0.1", Reach::Private),
            ("100.100.0.1", Reach::Private),
            ("fd12::1", Reach::Private),
            ("::ffff:10.0.0.1", Reach::Private),
            ("64:ff9b::a00:1", Reach::Private),
            ("2002:a00:1::", Reach::Private),
            ("169.254.169.254", Reach::Never),
            ("::ffff:169.254.169.254", Reach::Never),
            ("64:ff9b::a9fe:a9fe", Reach::Never),
            ("fd00:ec2::254", Reach::Never),
            ("fe80::1", Reach::Never),
            ("0.0.0.0", Reach::Never),
            ("::", Reach::Never),
            ("224.0.0.1", Reach::Never),
            ("255.255.255.255", Reach::Never),
        ];
        for (text, want) in cases {
            assert_eq!(reach(text.parse().unwrap()), want, "{text}");
        }
    }
}
