//! How far from us a registry may send us.
//!
//! A person names a registry, so that it may lie in a private network; whom it names in turn (redirects, token servers) may
//! lie no further inside than it does: a public registry cannot have requests sent to what only this machine can reach.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, io};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use trueup_host::{Reach, reach};
use url::{Host, Url};

use super::reference::is_loopback;

/// How far inside an address lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    Public,
    Private,
    Loopback,
}

/// None: nobody's server lies there (link-local, multicast, unspecified).
pub(super) fn depth(address: IpAddr) -> Option<Depth> {
    let mapped = match address {
        IpAddr::V6(it) => it.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    match reach(address) {
        Reach::Never => None,
        _ if mapped.is_loopback() => Some(Depth::Loopback),
        Reach::Private => Some(Depth::Private),
        Reach::Public => Some(Depth::Public),
    }
}

/// Whether what lies at `address` may be connected to, for a registry that lies at `home`.
pub(super) fn allowed(home: Depth, address: IpAddr) -> bool {
    depth(address).is_some_and(|it| it <= home)
}

/// Where the registry itself lies, once its name was looked up: the least deep of its addresses.
#[derive(Clone)]
pub(super) struct Home {
    host: Arc<str>,
    depth: Arc<Mutex<Option<Depth>>>,
}

impl Home {
    pub(super) fn new(host: &str) -> Self {
        let known = match host.trim_start_matches('[').trim_end_matches(']').parse() {
            Ok(address) => depth(address),
            Err(_) => is_loopback(host).then_some(Depth::Loopback),
        };
        Self { host: host.into(), depth: Arc::new(Mutex::new(known)) }
    }

    fn depth(&self) -> Depth {
        self.depth.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(Depth::Public)
    }

    /// Judges a URL before anything is sent: its scheme, its form, and an address that stands in it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub(super) fn judge(&self, url: &Url) -> Result<(), String> {
        let at = url.host_str().unwrap_or_default().to_owned();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("an address at `{at}` that holds credentials"));
        }
        let near = is_loopback(&at);
        match url.scheme() {
            "https" => {}
            "http" if near => {}
            scheme => return Err(format!("`{scheme}://{at}`, and only https is taken")),
        }
        let address = match url.host() {
            Some(Host::Ipv4(it)) => Some(IpAddr::V4(it)),
            Some(Host::Ipv6(it)) => Some(IpAddr::V6(it)),
            Some(Host::Domain(_)) => None,
            None => return Err("an address without a host".to_owned()),
        };
        let inside = match address {
            Some(address) => !allowed(self.depth(), address),
            None => near && self.depth() < Depth::Loopback,
        };
        if inside { Err(format!("`{at}`, which lies in a network that is not public")) } else { Ok(()) }
    }
}

/// A name led to addresses that are not to be connected to.
#[derive(Debug)]
pub(super) struct Inside {
    name: String,
    address: IpAddr,
}

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` leads to {}, which lies in a network that is not public", self.name, self.address)
    }
}

impl std::error::Error for Inside {}

/// A name led to no address.
#[derive(Debug)]
pub(super) struct Unknown {
    pub name: String,
    /// Whether nobody could be asked: the name may well exist.
    pub later: bool,
    told: String,
}

impl Unknown {
    /// What the system's resolver says. Its code does not come this far, only its words: those of the C libraries of Linux, which
    /// are not translated where no locale was set.
    fn of(name: &str, error: &io::Error) -> Self {
        let told = error.to_string();
        let later = ["Temporary failure", "Try again", "System error"].iter().any(|it| told.contains(it));
        Self { name: name.to_owned(), later, told }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` cannot be looked up: {}", self.name, self.told)
    }
}

impl std::error::Error for Unknown {}

/// The resolver of a registry's connections: what it gives is what is connected to.
impl Resolve for Home {
    fn resolve(&self, name: Name) -> Resolving {
        let home = self.clone();
        Box::pin(async move {
            let text = name.as_str().trim_end_matches('.').to_owned();
            let found = tokio::net::lookup_host((text.as_str(), 0)).await.map_err(|error| Unknown::of(&text, &error))?;
            let found: Vec<SocketAddr> = found.collect();
            Ok(Box::new(home.pick(&text, found)?.into_iter()) as Addrs)
        })
    }
}

impl Home {
    /// Of a name's addresses those that may be connected to.
    fn pick(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Inside> {
        let first = found.first().map(SocketAddr::ip);
        let judged: Vec<SocketAddr> = if name.eq_ignore_ascii_case(&self.host) {
            // Named by a person. Only `localhost` is this machine by name: any other name that leads here is another's trick.
            let here = is_loopback(name);
            let usual = |it: &SocketAddr| depth(it.ip()).is_some_and(|it| (it == Depth::Loopback) == here);
            let judged: Vec<SocketAddr> = found.into_iter().filter(usual).collect();
            let mut depth_of_home = self.depth.lock().unwrap_or_else(PoisonError::into_inner);
            *depth_of_home = judged.iter().filter_map(|it| depth(it.ip())).min();
            judged
        } else {
            let home = self.depth();
            found.into_iter().filter(|it| allowed(home, it.ip())).collect()
        };
        match (judged.is_empty(), first) {
            (true, Some(address)) => Err(Inside { name: name.to_owned(), address }),
            _ => Ok(judged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|it| SocketAddr::new(it.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn a_public_registry_leads_nowhere_inside_whatever_its_redirects_and_name_servers_say() {
        let home = Home::new("r.example");
        assert_eq!(home.pick("r.example", sockets(&["93.184.216.34"])).unwrap().len(), 1);
        for (address, word) in
            [("10.0.0.1", "10.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("169.254.169.254", "169.254"), ("::1", "::1")]
        {
            let refused = home.pick("blobs.example", sockets(&[address])).unwrap_err().to_string();
            assert!(refused.contains(word) && refused.contains("not public"), "{refused}");
        }
        assert_eq!(home.pick("blobs.example", sockets(&["10.0.0.1", "93.184.216.35"])).unwrap(), sockets(&["93.184.216.35"]));
        for url in [
            "http://cdn.example/x",
            "https://10.0.0.1/x",
            "https://127.0.0.1/x",
            "http://127.0.0.1/x",
            "https://localhost/x",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://169.254.169.254/latest",
            "https://user@cdn.example/x",
            "file:///etc/passwd",
            "ftp://cdn.example/x",
        ] {
            assert!(home.judge(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        home.judge(&Url::parse("https://cdn.example/x").unwrap()).unwrap();
    }

    #[test]
    fn a_private_registry_may_lead_into_its_network_and_not_to_this_machine() {
        let home = Home::new("r.corp.example");
        home.pick("r.corp.example", sockets(&["10.0.0.7"])).unwrap();
        home.judge(&Url::parse("https://10.0.0.8/x").unwrap()).unwrap();
        home.pick("s3.corp.example", sockets(&["10.0.0.9"])).unwrap();
        home.judge(&Url::parse("https://127.0.0.1/x").unwrap()).unwrap_err();
        home.pick("s3.corp.example", sockets(&["127.0.0.1"])).unwrap_err();
        home.pick("s3.corp.example", sockets(&["169.254.169.254"])).unwrap_err();
    }

    #[test]
    fn a_name_that_does_not_exist_is_told_from_one_that_nobody_could_be_asked_about() {
        let check = |told: &str, later: bool| {
            let unknown = Unknown::of("r.example", &io::Error::other(format!("failed to lookup address information: {told}")));
            assert_eq!(unknown.later, later, "{unknown}");
        };
        check("Name or service not known", false);
        check("No address associated with hostname", false);
        check("Name does not resolve", false);
        check("Temporary failure in name resolution", true);
        check("Try again", true);
    }

    #[test]
    fn a_registry_on_this_machine_is_named_as_such() {
        let here = Home::new("127.0.0.1");
        here.judge(&Url::parse("http://127.0.0.1:81/x").unwrap()).unwrap();
        here.judge(&Url::parse("http://10.0.0.1/x").unwrap()).unwrap_err();
        here.judge(&Url::parse("https://169.254.169.254/x").unwrap()).unwrap_err();
        let named = Home::new("r.example");
        assert!(
            named.pick("r.example", sockets(&["127.0.0.1"])).is_err(),
            "a name that leads to this machine is not this machine"
        );
        assert!(named.pick("r.example", sockets(&["169.254.169.254"])).is_err());
        assert_eq!(Home::new("localhost").pick("localhost", sockets(&["10.0.0.1", "127.0.0.1"])).unwrap().len(), 1);
    }
}
