//! Names of artifacts: `oci://host[:port]/name[:tag][@sha256:…]`.
//!
//! The grammar is the distribution specification's. Invariant: what was parsed is safe to put into a URL and to show.

use std::fmt;
use std::net::IpAddr;

use trueup_core::value::Digest;

use super::RegistryError;

/// What is taken where a reference names neither tag nor digest.
const DEFAULT_TAG: &str = "latest";
/// Bytes of a name, as the specification has it.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// One artifact, or the place of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Lower case; an IPv6 address stands in brackets.
    pub host: String,
    pub port: Option<u16>,
    pub name: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

impl Reference {
    /// Reads the text of `plugin:` or of the command line.
    ///
    /// # Errors
    ///
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let wrong = |what: &str| {
            let shown: String = text.chars().take(200).collect();
            RegistryError::reference(format!("`{shown}` names no artifact: {what}"))
        };
        let rest = text.strip_prefix("oci://").ok_or_else(|| wrong("it does not begin with `oci://`"))?;
        let (authority, rest) = rest.split_once('/').ok_or_else(|| wrong("it has no name after the host"))?;
        if authority.contains('@') {
            return Err(wrong("it holds credentials; they belong into `credentials.yaml`"));
        }
        let (host, port) = authority_of(authority).ok_or_else(|| wrong("its host is none"))?;
        let (rest, digest) = match rest.split_once('@') {
            None => (rest, None),
            Some((rest, digest)) => {
                let hex = digest.strip_prefix("sha256:");
                let hex = hex.ok_or_else(|| wrong("its digest is not `sha256:` and 64 hex digits"))?;
                let digest = Digest::parse(hex).ok_or_else(|| wrong("its digest is not `sha256:` and 64 hex digits"))?;
                (rest, Some(digest))
            }
        };
        let (name, tag) = match rest.split_once(':') {
            None => (rest, None),
            Some((name, tag)) => (name, Some(tag)),
        };
        if !is_name(name) {
            return Err(wrong("its name is not of `a-z`, `0-9`, `.`, `_`, `-`, in parts with `/` between"));
        }
        if tag.is_some_and(|it| !is_tag(it)) {
            return Err(wrong("its tag is not 1 to 128 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`"));
        }
        Ok(Self { host, port, name: name.to_owned(), tag: tag.map(str::to_owned), digest })
    }

    /// Whether the registry is on this machine: the only place where plain HTTP is spoken.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        let scheme = if self.is_loopback() { "http" } else { "https" };
        format!("{scheme}://{}", self.authority())
    }

    /// Host, and port where one is named.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// Host and name, as signatures call the repository.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.authority(), self.name)
    }

    /// What stands last in the URL of its manifest: the digest where one is named, else the tag.
    pub fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The tag that is meant, where no digest is named.
    pub fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or(DEFAULT_TAG)
    }

    /// The same repository at one digest.
    pub fn at(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same repository at a tag.
    ///
    /// # Errors
    ///
    /// Where the text is no tag.
    pub fn tagged(&self, tag: &str) -> Result<Self, RegistryError> {
        if !is_tag(tag) {
            return Err(RegistryError::reference(format!("`{}` is no tag", tag.chars().take(200).collect::<String>())));
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}", self.repository())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |it| write!(f, "@sha256:{it}"))
    }
}

/// Whether a host is this machine by its very name.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

fn authority_of(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (format!("[{address}]"), rest.strip_prefix(':').map_or(rest.is_empty().then_some(None), |it| Some(Some(it)))?)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|it| *it > 0 && port.bytes().all(|it| it.is_ascii_digit()))?),
        None => None,
    };
    if host.starts_with('[') {
        return Some((host, port));
    }
    let label = |it: &str| {
        let inner = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        !it.is_empty() && it.len() <= 63 && it.bytes().all(inner) && !it.starts_with('-') && !it.ends_with('-')
    };
    let host = host.to_ascii_lowercase();
    // Digits alone in the last label are an address in one of its many spellings: only the usual one is taken.
    let numeric = host.rsplit('.').next().is_some_and(|it| it.bytes().all(|it| it.is_ascii_digit()) || it.starts_with("0x"));
    let address = host.parse::<std::net::Ipv4Addr>().is_ok();
    (host.len() <= 253 && host.split('.').all(label) && (address || !numeric)).then_some((host, port))
}

fn is_name(text: &str) -> bool {
    let part = |part: &str| {
        let ends = |it: Option<u8>| it.is_some_and(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
        let inner = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"._-".contains(&it);
        let doubled = ["..", "___", "._", "_.", ".-", "-.", "_-", "-_"].iter().any(|it| part.contains(it));
        ends(part.bytes().next()) && ends(part.bytes().last()) && part.bytes().all(inner) && !doubled
    };
    text.len() <= MAX_NAME && text.split('/').all(part)
}

fn is_tag(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|it| it.is_ascii_alphanumeric() || it == b'_');
    first && text.len() <= MAX_TAG && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back_and_names_its_origin() {
        let hex = "ab".repeat(32);
        for (text, origin, version) in [
            ("oci://ghcr.io/acme/tickets:1.0", "https://ghcr.io", "1.0".to_owned()),
            ("oci://ghcr.io/acme/tickets", "https://ghcr.io", "latest".to_owned()),
            ("oci://127.0.0.1:5000/t:a_b-C.d", "http://127.0.0.1:5000", "a_b-C.d".to_owned()),
            ("oci://localhost:5000/t", "http://localhost:5000", "latest".to_owned()),
            ("oci://[::1]:5000/t", "http://[::1]:5000", "latest".to_owned()),
            ("oci://r.example:8443/a/b-c/d__e", "https://r.example:8443", "latest".to_owned()),
            (&format!("oci://r.example/t:1@sha256:{hex}"), "https://r.example", format!("sha256:{hex}")),
            (&format!("oci://10.0.0.7/t@sha256:{hex}"), "https://10.0.0.7", format!("sha256:{hex}")),
        ] {
            let it = Reference::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((it.to_string().as_str(), it.origin().as_str(), it.version()), (text, origin, version), "{text}");
        }
    }

    #[test]
    fn what_could_mean_another_place_is_no_reference() {
        let hex = "ab".repeat(32);
        for text in [
            "ghcr.io/a:1",
            "oci://",
            "oci:///a",
            "oci://h",
            "oci://h/",
            "oci://h/A",
            "oci://h/../a",
            "oci://h/a//b",
            "oci://h/a/.",
            "oci://h/a..b",
            "oci://h/a?x=1",
            "oci://h/a#b",
            "oci://h/a%2fb",
            "oci://h/a:",
            "oci://h/a:-x",
            "oci://h/a:x/y",
            "oci://h/a:1:2",
            "oci://user:pass@h/a",
            "oci://h:0/a",
            "oci://h:+1/a",
            "oci://h:65536/a",
            "oci://h_1/a",
            "oci://-h/a",
            "oci://h./a",
            "oci://2130706433/a",
            "oci://0x7f.1/a",
            "oci://127.1/a",
            "oci://0x7f000001/a",
            "oci://[::1/a",
            "oci://[::1]x/a",
            "oci://h/a@sha256:00",
            &format!("oci://h/a@sha512:{hex}"),
            &format!("oci://h/a@sha256:{}", hex.to_uppercase()),
            &format!("oci://h/{}", "a".repeat(256)),
            &format!("oci://h/a:{}", "a".repeat(129)),
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
