//! Where a service listens, and in which region's name a request to it is signed.
//!
//! Owns host names by the rules that AWS publishes with its SDKs, for the partitions `aws`, `aws-cn` and `aws-us-gov`; the others are
//! for governments, with networks of their own. Whether a service is in a region at all is not known here.
//!
//! <https://docs.aws.amazon.com/general/latest/gr/rande.html>,
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html>

use std::fmt;

use crate::model::Service;

/// Which kind of endpoint is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// With cryptography validated by FIPS 140.
    pub fips: bool,
    /// Reachable by IPv6 too.
    pub dual_stack: bool,
}

/// Where to send a request, and what to sign it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://` and a host name; no path.
    pub url: String,
    /// Region in the scope of the signature; not that of the caller where a service is one for all.
    pub signing_region: String,
}

/// Why there is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// No region of the three partitions has such a name.
    Region { region: String },
    /// The service has no FIPS endpoints in this partition.
    Fips { service: &'static str, partition: &'static str },
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region { region } => {
                write!(f, "`{region}` is no name of a region of AWS, AWS China or AWS GovCloud; name the endpoint itself")
            }
            Self::Fips { service, partition } => write!(f, "{service} has no FIPS endpoint in the partition {partition}"),
        }
    }
}

impl std::error::Error for Unknown {}

/// Regions with names and accounts of their own.
#[derive(Debug, PartialEq, Eq)]
pub struct Partition {
    /// As in ARNs: `aws-cn`.
    pub name: &'static str,
    suffix: &'static str,
    dual_suffix: &'static str,
    /// What the regions begin with.
    regions: &'static [&'static str],
}

// GovCloud is before the others: its regions begin with `us-`, too.
static PARTITIONS: [Partition; 3] = [
    Partition { name: "aws-us-gov", suffix: "amazonaws.com", dual_suffix: "api.aws", regions: &["us-gov-"] },
    Partition { name: "aws-cn", suffix: "amazonaws.com.cn", dual_suffix: "api.amazonwebservices.com.cn", regions: &["cn-"] },
    Partition {
        name: "aws",
        suffix: "amazonaws.com",
        dual_suffix: "api.aws",
        regions: &["af-", "ap-", "ca-", "eu-", "il-", "me-", "mx-", "sa-", "us-"],
    },
];

/// Services whose endpoints in GovCloud are validated by FIPS and are called as everywhere else. All others have the plain name.
const MARKED_IN_GOV: [&str; 6] = ["ecr", "kms", "lambda", "resourcegroupstaggingapi", "s3", "secretsmanager"];

/// The partition of a region; none where the name is not one of a region (`eu-west-1`).
pub fn partition(region: &str) -> Option<&'static Partition> {
    let partition = PARTITIONS.iter().find(|it| it.regions.iter().any(|begin| region.starts_with(begin)))?;
    let begin = partition.regions.iter().find(|begin| region.starts_with(**begin))?;
    let (place, number) = region.strip_prefix(begin)?.split_once('-')?;
    let word = !place.is_empty() && place.len() <= 20 && place.bytes().all(|it| it.is_ascii_lowercase());
    let digits = (1..=2).contains(&number.len()) && number.bytes().all(|it| it.is_ascii_digit());
    // `us-iso-east-1`, `us-isob-east-1`: not ours, and with one part more than is allowed here.
    (word && digits).then_some(partition)
}

/// The endpoint of a service for who works in `region`.
///
/// # Errors
/// Where the region's name is none, so that nothing but a region gets into a host name; where FIPS is wanted and not to be had.
pub fn endpoint(service: &Service, region: &str, options: Options) -> Result<Endpoint, Unknown> {
    let partition = partition(region).ok_or_else(|| Unknown::Region { region: region.chars().take(64).collect() })?;
    let (host, signing_region) = match service.name {
        "iam" | "route53" => global(service, partition, options),
        "s3" => (s3(partition, region, options)?, region),
        _ => (regional(service, partition, region, options), region),
    };
    Ok(Endpoint { url: format!("https://{host}"), signing_region: signing_region.to_owned() })
}

fn regional(service: &Service, partition: &Partition, region: &str, Options { fips, dual_stack }: Options) -> String {
    let gov = partition.name == "aws-us-gov";
    let plain = gov && !MARKED_IN_GOV.contains(&service.name) && (!dual_stack || service.name == "cloudwatch");
    let mark = if fips && !plain { "-fips" } else { "" };
    // Its plain endpoints are of dual stack already.
    let is_dual = service.name == "secretsmanager" && !(fips && partition.name == "aws-cn");
    let suffix = if dual_stack && !is_dual { partition.dual_suffix } else { partition.suffix };
    let name = match service.name {
        "eks" if fips && !dual_stack && partition.name == "aws" => return format!("fips.eks.{region}.{suffix}"),
        "ecr" if dual_stack => "ecr",
        _ => service.endpoint,
    };
    format!("{name}{mark}.{region}.{suffix}")
}

fn s3(partition: &Partition, region: &str, Options { fips, dual_stack }: Options) -> Result<String, Unknown> {
    if fips && partition.name == "aws-cn" {
        return Err(Unknown::Fips { service: "S3", partition: partition.name });
    }
    let (mark, dual) = (if fips { "-fips" } else { "" }, if dual_stack { "dualstack." } else { "" });
    Ok(format!("s3{mark}.{dual}{region}.{}", partition.suffix))
}

/// Services that are one for a partition.
fn global(service: &Service, partition: &Partition, Options { fips, dual_stack }: Options) -> (String, &'static str) {
    let name = service.endpoint;
    let mark = if fips { "-fips" } else { "" };
    let suffix = if dual_stack { partition.dual_suffix } else { partition.suffix };
    match (partition.name, service.name) {
        ("aws-us-gov", _) => (format!("{name}.us-gov.{suffix}"), "us-gov-west-1"),
        ("aws-cn", service) => {
            let place = match (fips, dual_stack) {
                (false, true) => ".global",
                (false, false) if service == "iam" => ".cn-north-1",
                _ => "",
            };
            (format!("{name}{mark}{place}.{suffix}"), if service == "iam" { "cn-north-1" } else { "cn-northwest-1" })
        }
        _ => (format!("{name}{mark}{}.{suffix}", if dual_stack { ".global" } else { "" }), "us-east-1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn every_endpoint_is_where_the_rules_of_aws_have_it() {
        let cases = include_str!("../tests/data/endpoints.txt");
        for line in cases.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let options = Options { fips: words[2].contains('f'), dual_stack: words[2].contains('d') };
            let got = endpoint(model::service(words[0]).unwrap(), words[1], options);
            let got = got.map_or_else(|_| "none".to_owned(), |it| format!("{} {}", it.url, it.signing_region));
            assert_eq!(got, words[3..].join(" "), "{line}");
        }
        assert!(cases.lines().count() > 500);
    }

    #[test]
    fn nothing_but_a_region_gets_into_a_host_name() {
        let sqs = model::service("sqs").unwrap();
        for region in [
            "",
            "eu",
            "eu-west",
            "eu-west-",
            "eu--1",
            "eu-west-1.evil.example/",
            "eu-west-1@evil",
            "evil",
            "us-iso-east-1",
            "us-gov-1",
            "EU-WEST-1",
            "eu-west-123",
            "aws-global",
            "eusc-de-east-1",
            "eu-wést-1",
            "cn-north-1-a",
        ] {
            assert_eq!(endpoint(sqs, region, Options::default()), Err(Unknown::Region { region: region.to_owned() }));
        }
        assert_eq!(partition("us-gov-east-1").map(|it| it.name), Some("aws-us-gov"));
        assert_eq!(partition("ap-southeast-5").map(|it| it.name), Some("aws"));
    }
}
