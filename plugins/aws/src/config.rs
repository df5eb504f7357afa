//! The settings of one provider: an account in a region, and how its services are reached.

use std::collections::BTreeMap;

use serde::Deserialize;
use trueup_sdk::{Error, Json, Result, json};

/// The credential slot that signs.
pub const SLOT: &str = "aws";
/// What `endpoint` says to mean the credential's own `base`.
pub const BY_SLOT: &str = "slot";

/// Settings that the manifest's schema has let through.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    pub region: String,
    /// Twelve digits; none where a compatible system has no accounts.
    #[serde(default)]
    pub account: Option<String>,
    /// One place for all services: a URL, or `slot`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Places of single services, by their names (`s3`).
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
    #[serde(default)]
    pub fips: bool,
    #[serde(default)]
    pub dual_stack: bool,
}

impl Config {
    /// Reads settings.
    ///
    /// # Errors
    /// Where they cannot work together: without a URL of one's own the account must be named, so that a credential that leads elsewhere
    /// is noticed before anything is done there.
    pub fn parse(config: &Json) -> Result<Self> {
        let config: Self = serde_json::from_value(config.clone())?;
        // What a credential's `base` says is no setting: whoever changes it would lead to another place unseen.
        let named = config.endpoint.as_deref().is_some_and(|it| it != BY_SLOT);
        if config.account.is_none() && !named {
            let text = "`account` is missing: the twelve digits of the account that this provider acts on (`aws sts get-caller-identity` \
                        tells them)";
            return Err(Error::invalid("aws.config", text).at("/account"));
        }
        Ok(config)
    }

    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub fn partition(&self) -> &'static str {
        match &self.region {
            it if it.starts_with("cn-") => "aws-cn",
            it if it.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }
}

/// JSON Schema of the settings.
pub fn schema() -> Json {
    json!({
        "type": "object",
        "properties": {
            "region": { "type": "string", "pattern": "^[a-z0-9-]{1,40}$", "x-trueup-target": true, "description": "Region, such as `eu-central-1`. IAM and Route 53 have none: their objects are the same in every region, so declare them through one provider." },
            "account": { "type": "string", "pattern": "^[0-9]{12}$", "x-trueup-target": true, "description": "The account that this provider acts on. A credential that leads to another one is refused. Needed for AWS itself; a compatible system may have none." },
            "endpoint": { "type": "string", "x-trueup-target": true, "description": "Where all services are reached, for compatible systems: a URL, or `slot` for what `base` of the credential says." },
            "endpoints": { "type": "object", "x-trueup-target": true, "additionalProperties": { "type": "string" }, "description": "Where single services are reached, by name: `{s3: \"https://minio.example.com\"}`." },
            "fips": { "type": "boolean", "default": false, "description": "Use endpoints with FIPS 140 modules." },
            "dualStack": { "type": "boolean", "default": false, "description": "Use endpoints that speak IPv6 as well." }
        },
        "required": ["region"],
        "additionalProperties": false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_itself_is_only_reached_where_the_account_is_named() {
        let error = Config::parse(&json!({ "region": "eu-central-1" })).unwrap_err();
        assert_eq!(error.path.as_deref(), Some("/account"));
        assert!(Config::parse(&json!({ "region": "eu-central-1", "account": "123456789012" })).is_ok());
        assert!(Config::parse(&json!({ "region": "eu-central-1", "endpoint": "slot" })).is_err());
        assert!(Config::parse(&json!({ "region": "eu-central-1", "endpoint": "http://127.0.0.1:9000" })).is_ok());
    }

    #[test]
    fn a_region_says_which_partition_it_is_in() {
        let of = |region: &str| Config::parse(&json!({ "region": region, "account": "123456789012" })).unwrap().partition();
        assert_eq!([of("eu-west-1"), of("cn-north-1"), of("us-gov-west-1")], ["aws", "aws-cn", "aws-us-gov"]);
    }
}
