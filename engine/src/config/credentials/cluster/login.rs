//! Who logs in at a cluster, and with what.

use std::path::PathBuf;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use trueup_host::{ClientCertificate, Secret};

use super::exec::Program;
use super::file;
use crate::config::credentials::renewed::{Get, Got};

/// How long certificates of files are believed to be the files'.
const CERTIFICATE_FILE: Duration = Duration::from_mins(1);

/// What is sent in the header.
#[derive(Debug, Default)]
pub(super) enum Authorization {
    #[default]
    None,
    Token(Secret),
    TokenFile {
        file: PathBuf,
        /// How long what was read is used.
        every: Duration,
    },
    Basic {
        user: String,
        password: Secret,
    },
    Program(Box<Program>),
}

/// A text in PEM, or where it is.
#[derive(Debug)]
pub(super) enum Pem {
    Text(Secret),
    File(PathBuf),
}

impl Pem {
    /// # Errors
    ///
    /// Where the file cannot be read.
    pub fn read(&self) -> Result<Secret, String> {
        match self {
            Self::Text(text) => Ok(Secret::from(text.expose())),
            Self::File(path) => file(path),
        }
    }
}

/// A user of a kubeconfig; by default one who shows nothing.
#[derive(Debug, Default)]
pub(super) struct User {
    pub authorization: Authorization,
    /// Certificate and key.
    pub certificate: Option<(Pem, Pem)>,
}

impl Get for User {
    fn get(&self) -> Result<Got, String> {
        let mut got = match &self.authorization {
            Authorization::None => Got::default(),
            Authorization::Token(token) => bearer(token.expose()),
            Authorization::TokenFile { file: path, every } => {
                let text = file(path)?;
                let token = text.expose().trim();
                if token.is_empty() {
                    return Err(format!("the file `{}` is empty", path.display()));
                }
                Got { fresh: Some(*every), ..bearer(token) }
            }
            Authorization::Basic { user, password } => {
                let pair = format!("{user}:{}", password.expose());
                let authorization = Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(&pair))));
                Got { authorization, values: vec![password.expose().to_owned(), pair], ..Got::default() }
            }
            Authorization::Program(program) => program.run()?,
        };
        if let (None, Some((cert, key))) = (&got.certificate, &self.certificate) {
            got.certificate = Some(ClientCertificate { cert_pem: cert.read()?.expose().to_owned(), key_pem: key.read()? });
            if matches!((cert, key), (Pem::File(_), _) | (_, Pem::File(_))) {
                got.fresh = Some(got.fresh.map_or(CERTIFICATE_FILE, |it| it.min(CERTIFICATE_FILE)));
            }
        }
        Ok(got)
    }
}

/// A token as it is sent.
pub(super) fn bearer(token: &str) -> Got {
    Got { authorization: Some(Secret::new(format!("Bearer {token}"))), values: vec![token.to_owned()], ..Got::default() }
}
