//! Programs that log in for a kubeconfig (`exec`), as `client.authentication.k8s.io/v1` has it.
//!
//! What such a program prints as its answer is a secret as a whole.

use std::time::SystemTime;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use trueup_core::text::clean;
use trueup_core::value::{Json, json};
use trueup_host::{ClientCertificate, Secret};

use super::Place;
use super::login::bearer;
use crate::config::credentials::moment::moment;
use crate::config::credentials::program::{self, WORDS};
use crate::config::credentials::renewed::Got;

/// The form of the answer that the kubeconfig asks for. The older one differs in its name alone; clouds still write it.
pub(super) const VERSIONS: &[&str] = &["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// A program, and what it is told.
#[derive(Debug)]
pub(super) struct Program {
    pub program: program::Program,
    pub api: String,
    /// What it is told of the cluster, where the kubeconfig wants that.
    pub cluster: Option<Json>,
    /// What the kubeconfig says to whoever does not have it.
    pub hint: Option<String>,
}

/// What a program is told of the cluster.
pub(super) fn cluster_info(place: &Place) -> Json {
    let mut info = json!({ "server": place.server.as_str().trim_end_matches('/') });
    let mut put = |key: &str, value: Option<Json>| {
        if let (Some(fields), Some(value)) = (info.as_object_mut(), value) {
            fields.insert(key.to_owned(), value);
        }
    };
    put("tls-server-name", place.name.clone().map(Json::from));
    put("insecure-skip-tls-verify", place.insecure.then_some(Json::from(true)));
    put("certificate-authority-data", place.ca_pem.as_ref().map(|it| BASE64_STANDARD.encode(it).into()));
    put("config", place.extension.clone());
    info
}

impl Program {
    /// Runs it and reads its answer.
    ///
    /// # Errors
    ///
    /// Where it does not start or end in time, fails, or answers with something else than a credential.
    pub fn run(&self) -> Result<Got, String> {
        let answer = self.answer()?;
        self.read(answer.expose()).map_err(|why| format!("{} {why}", self.program.name()))
    }

    fn answer(&self) -> Result<Secret, String> {
        let mut spec = json!({ "interactive": false });
        if let (Some(fields), Some(cluster)) = (spec.as_object_mut(), &self.cluster) {
            fields.insert("cluster".to_owned(), cluster.clone());
        }
        let info = json!({ "apiVersion": self.api, "kind": "ExecCredential", "spec": spec });
        let hint = self.hint.as_ref().map(|it| format!("; {}", clean(it, WORDS))).unwrap_or_default();
        self.program.run(&[("KUBERNETES_EXEC_INFO", info.to_string())], &hint)
    }

    /// Reads an `ExecCredential`. No message holds any of it but its version.
    fn read(&self, answer: &str) -> Result<Got, String> {
        let json: Json = serde_json::from_str(answer).map_err(|_| "answered with what is no JSON".to_owned())?;
        let text = |key: &str| json.get(key).and_then(Json::as_str).unwrap_or_default();
        if text("kind") != "ExecCredential" {
            return Err("answered with what is no `ExecCredential`".to_owned());
        }
        if text("apiVersion") != self.api {
            return Err(format!("answered in another version than `{}`, which the kubeconfig names", self.api));
        }
        let status = json.get("status").and_then(Json::as_object).ok_or("answered without a `status`")?;
        let text = |key: &str| match status.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.as_str()).filter(|it| !it.is_empty())),
            Some(_) => Err(format!("answered with a `status.{key}` that is no text")),
        };
        let certificate = match (text("clientCertificateData")?, text("clientKeyData")?) {
            (Some(cert), Some(key)) => Some(ClientCertificate { cert_pem: cert.to_owned(), key_pem: Secret::from(key) }),
            (None, None) => None,
            _ => return Err("answered with a certificate or a key alone".to_owned()),
        };
        let mut got = text("token")?.map(bearer).unwrap_or_default();
        if got.authorization.is_none() && certificate.is_none() {
            return Err("answered with neither a token nor a certificate".to_owned());
        }
        got.certificate = certificate;
        if let Some(end) = text("expirationTimestamp")? {
            let end = moment(end).ok_or("answered with an `expirationTimestamp` that is no time")?;
            let lasts = end.duration_since(SystemTime::now()).ok().filter(|it| !it.is_zero());
            got.lasts =
                Some(lasts.ok_or("answered with a credential whose time is over already; look at this machine's clock too")?);
        }
        Ok(got)
    }
}
