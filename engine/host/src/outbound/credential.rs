//! Puts credentials on requests, after every check and only for their own origins.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::grant::{Credential, Scheme};

impl Credential {
    /// Whether it may be sent to a URL's origin.
    pub(crate) fn is_for(&self, url: &Url) -> bool {
        self.origins.iter().any(|origin| origin.allows(url))
    }

    /// Adds the header that this credential is, where it is one.
    ///
    /// # Errors
    ///
    /// Fails where the value cannot stand in a header; the text never holds it.
    pub(crate) fn attach(&self, headers: &mut HeaderMap) -> Result<(), String> {
        let (name, value) = match &self.scheme {
            Scheme::Header { name, value } => {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| format!("credential `{}` names no valid header", self.name))?;
                (name, HeaderValue::from_str(value.expose()))
            }
            Scheme::Basic { user, password } => {
                let plain = format!("{user}:{}", password.expose());
                (reqwest::header::AUTHORIZATION, HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(plain))))
            }
            Scheme::Bearer(token) => {
                (reqwest::header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", token.expose())))
            }
            // Presented by the connection: see `Inner::build` of the client. A key signs DNS messages, and is for no URL. What
            // has an end is attached when its turn to be sent has come, and so is a signature.
            Scheme::ClientCertificate { .. } | Scheme::Tsig(_) | Scheme::Kubeconfig(_) | Scheme::SigV4(_) => return Ok(()),
        };
        let mut value = value.map_err(|_| format!("the value of credential `{}` cannot stand in a header", self.name))?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::HostRule;
    use crate::services::Secret;

    fn credential(scheme: Scheme, origin: &str) -> Credential {
        let origins = vec![HostRule::parse(origin).unwrap()];
        Credential { name: "c".to_owned(), origins, servers: Vec::new(), scheme, ca_pem: None, base: None }
    }

    #[test]
    fn basic_credentials_are_encoded_as_every_server_reads_them() {
        for (user, password, want) in
            [("a", "b", "YTpi"), ("Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), ("u", "pä", "dTpww6Q=")]
        {
            let mut headers = HeaderMap::new();
            let scheme = Scheme::Basic { user: user.to_owned(), password: Secret::from(password) };
            credential(scheme, "https://a.example").attach(&mut headers).unwrap();
            assert_eq!(headers["authorization"], format!("Basic {want}"));
            assert!(!format!("{headers:?}").contains(want), "a header of a credential does not print itself");
        }
    }

    #[test]
    fn a_value_that_would_smuggle_a_header_is_refused_without_being_shown() {
        let scheme = Scheme::Header { name: "x-key".to_owned(), value: Secret::from("a\r\nhost: b") };
        let wrong = credential(scheme, "https://a.example").attach(&mut HeaderMap::new()).unwrap_err();
        assert!(wrong.contains("`c`") && !wrong.contains("host"), "{wrong}");
    }

    #[test]
    fn a_credential_is_for_its_origins_alone() {
        let it = credential(Scheme::Bearer(Secret::from("t")), "https://*.example.com");
        for (url, want) in [
            ("https://a.example.com/x", true),
            ("https://a.b.example.com/", true),
            ("https://example.com/", false),
            ("http://a.example.com/", false),
            ("https://a.example.com:8443/", false),
            ("https://a.example.com.evil.test/", false),
            ("https://aexample.com/", false),
        ] {
            assert_eq!(it.is_for(&Url::parse(url).unwrap()), want, "{url}");
        }
    }
}
