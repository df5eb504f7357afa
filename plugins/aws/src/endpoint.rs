//! Where a service listens.

use crate::model::Service;

/// The place of a service in a region, and the region that its signatures name.
pub struct Endpoint {
    pub url: String,
    pub signing_region: String,
}

/// AWS's own place of a service.
pub fn endpoint(service: &Service, region: &str, fips: bool, dual_stack: bool) -> Endpoint {
    let front = if fips { format!("{}-fips", service.endpoint) } else { service.endpoint.to_owned() };
    let back = if dual_stack { "api.aws" } else { "amazonaws.com" };
    match service.global.filter(|_| !fips && !dual_stack) {
        Some(host) => Endpoint { url: format!("https://{host}"), signing_region: "us-east-1".to_owned() },
        None => Endpoint { url: format!("https://{front}.{region}.{back}"), signing_region: region.to_owned() },
    }
}
