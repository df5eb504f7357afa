//! What a request to the cloud asks, read off the wire: the protocols differ in where they say it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::servers::http1::{self, Message};

/// How a service speaks; errors and pages look different in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `X-Amz-Target` and JSON; the version is `1.0` or `1.1`.
    Json(&'static str),
    /// A form with `Action`, answered in XML.
    Query,
    /// As [`Protocol::Query`], with lists and errors of its own.
    Ec2,
    /// Methods and paths, JSON.
    RestJson,
    /// Methods and paths, XML.
    RestXml,
    /// Paths that name the operation, CBOR. Only errors of it are known here.
    Cbor,
}

/// Names of members that say which page of a listing is asked for, in lower case.
const PAGE_TOKENS: [&str; 6] =
    ["nexttoken", "marker", "continuation-token", "exclusivestarttablename", "paginationtoken", "key-marker"];
/// Of record sets alone; elsewhere these are what a thing is called.
const RECORD_TOKENS: [&str; 3] = ["name", "type", "identifier"];

/// Names of members that make a repeated request the same request, in lower case.
const CLIENT_TOKENS: [&str; 6] =
    ["clienttoken", "clientrequesttoken", "callerreference", "creatorrequestid", "idempotencytoken", "clientidempotencytoken"];

/// Beginnings of operations that change nothing.
const READS: [&str; 11] =
    ["List", "Describe", "Get", "Head", "BatchGet", "Search", "Filter", "Lookup", "Query", "Scan", "AssumeRole"];

/// One request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Counted from 0, over all connections.
    pub number: usize,
    /// Counted from 0 among the requests of the same service and operation: what a seed looks at, as the order of different
    /// requests that are in flight together is nobody's.
    pub ordinal: usize,
    /// As SDKs name it: `sqs`, `elbv2`, `cloudwatch`. Empty where the request is not signed.
    pub service: String,
    /// `CreateQueue`; where only method and path tell, these: `GET /2013-04-01/hostedzone`, with the query's members that have no
    /// value (`PUT /bucket?tagging`).
    pub operation: String,
    pub region: String,
    /// Id of the key that signed it.
    pub access_key: String,
    pub protocol: Protocol,
    /// The request, whole.
    pub message: Message,
}

impl Asked {
    pub fn read(message: Message, number: usize) -> Self {
        let (access_key, region, scope) = credential(&message);
        let form: BTreeMap<String, String> = form_of(&message).into_iter().collect();
        let target = message.header("x-amz-target").and_then(|it| it.rsplit_once('.'));
        let type_of = message.header("content-type").unwrap_or_default();
        let (protocol, operation) = match (target, form.get("Action")) {
            (Some((_, operation)), _) => {
                let version = if type_of.contains("json-1.0") { "1.0" } else { "1.1" };
                (Protocol::Json(version), operation.to_owned())
            }
            (None, Some(action)) => (if scope == "ec2" { Protocol::Ec2 } else { Protocol::Query }, action.clone()),
            (None, None) if message.header("smithy-protocol") == Some("rpc-v2-cbor") => {
                (Protocol::Cbor, message.path().rsplit('/').next().unwrap_or_default().to_owned())
            }
            (None, None) => {
                let xml = matches!(scope.as_str(), "s3" | "route53" | "cloudfront");
                (if xml { Protocol::RestXml } else { Protocol::RestJson }, rest_operation(&message))
            }
        };
        let service = match scope.as_str() {
            "monitoring" => "cloudwatch",
            "tagging" => "resourcegroupstaggingapi",
            // Two services sign as one, and differ in their version.
            "elasticloadbalancing" if form.get("Version").is_some_and(|it| it == "2012-06-01") => "elb",
            "elasticloadbalancing" => "elbv2",
            other => other,
        };
        Self { number, ordinal: 0, service: service.to_owned(), operation, region, access_key, protocol, message }
    }

    /// Whether it is this: a `*` at the end of the operation stands for anything.
    pub fn is(&self, service: &str, operation: &str) -> bool {
        self.service == service
            && match operation.strip_suffix('*') {
                Some(start) => self.operation.starts_with(start),
                None => self.operation == operation,
            }
    }

    /// Whether it changes nothing.
    pub fn is_read(&self) -> bool {
        match self.protocol {
            Protocol::RestJson | Protocol::RestXml => matches!(self.message.method(), "GET" | "HEAD"),
            _ => READS.iter().any(|it| self.operation.starts_with(it)),
        }
    }

    pub fn is_write(&self) -> bool {
        !self.is_read()
    }

    /// Members at the top, decoded, whichever the protocol: of JSON, of a form, of a query. What is no text is its JSON.
    pub fn members(&self) -> Vec<(String, String)> {
        let json = |map: Map<String, Json>| {
            map.into_iter().map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned))).collect()
        };
        let body = || serde_json::from_slice(&self.message.body).map(json).unwrap_or_default();
        match self.protocol {
            Protocol::Json(_) => body(),
            Protocol::Query | Protocol::Ec2 => form_of(&self.message),
            Protocol::RestJson => [self.message.query(), body()].concat(),
            Protocol::RestXml => self.message.query(),
            Protocol::Cbor => Vec::new(),
        }
    }

    /// A member at the top.
    pub fn member(&self, name: &str) -> Option<String> {
        self.members().into_iter().find(|it| it.0 == name).map(|it| it.1)
    }

    /// Members that say which page is asked for.
    pub fn page(&self) -> Vec<(String, String)> {
        self.members().into_iter().filter(|it| self.is_page_token(&it.0)).collect()
    }

    pub(super) fn is_page_token(&self, name: &str) -> bool {
        let one_of = |known: &[&str]| known.iter().any(|it| name.eq_ignore_ascii_case(it));
        let records = self.service == "route53" && self.message.path().ends_with("/rrset");
        self.is_read() && (one_of(&PAGE_TOKENS) || records && one_of(&RECORD_TOKENS))
    }

    /// What makes a repetition the same request, where the request has such a thing.
    pub fn client_token(&self) -> Option<String> {
        let known = |name: &str| CLIENT_TOKENS.iter().any(|it| name.eq_ignore_ascii_case(it));
        let tagged = || {
            let text = self.message.text();
            let (_, rest) = text.split_once("<CallerReference>")?;
            Some(rest.split('<').next()?.to_owned())
        };
        self.members().into_iter().find(|it| known(&it.0)).map(|it| it.1).or_else(tagged)
    }
}

impl std::fmt::Display for Asked {
    /// `sqs CreateQueue`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", if self.service.is_empty() { "-" } else { &self.service }, self.operation)
    }
}

fn form_of(message: &Message) -> Vec<(String, String)> {
    let is_form = message.header("content-type").is_some_and(|it| it.starts_with("application/x-www-form-urlencoded"));
    if is_form { http1::pairs(&message.text()) } else { message.query() }
}

/// Key id, region and service of `AWS4-HMAC-SHA256 Credential=KEY/20260101/eu-west-1/sqs/aws4_request, …`.
fn credential(message: &Message) -> (String, String, String) {
    let header = message.header("authorization").and_then(|it| it.split_once("Credential=")).map(|it| it.1.to_owned());
    let signed_link = || message.query().into_iter().find(|it| it.0 == "X-Amz-Credential").map(|it| it.1);
    let scope = header.or_else(signed_link).unwrap_or_default();
    let mut parts = scope.split(',').next().unwrap_or_default().trim().split('/');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (key, _, region, service) = (part(), part(), part(), part());
    (key, region, service.to_lowercase())
}

fn rest_operation(message: &Message) -> String {
    let query = message.target().split_once('?').map(|it| it.1).unwrap_or_default();
    let bare = |it: &&str| !it.is_empty() && it.split_once('=').is_none_or(|(_, value)| value.is_empty());
    let words: Vec<&str> = query.split('&').filter(bare).map(|it| it.trim_end_matches('=')).collect();
    let mark = if words.is_empty() { "" } else { "?" };
    format!("{} {}{mark}{}", message.method(), message.path(), words.join("&"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A request that is signed for this service.
    pub fn asked(method: &str, target: &str, service: &str, headers: &[(&str, &str)], body: &str) -> Asked {
        let scope = format!("AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host");
        let mut message = Message { first: format!("{method} {target} HTTP/1.1"), body: body.into(), ..Message::default() };
        message.set("Authorization", &scope);
        headers.iter().for_each(|(name, value)| message.set(name, value));
        Asked::read(message, 0)
    }

    pub fn json(service: &str, target: &str, body: &str) -> Asked {
        asked("POST", "/", service, &[("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.0")], body)
    }

    pub fn form(service: &str, body: &str) -> Asked {
        let kind = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
        asked("POST", "/", service, &[kind], body)
    }

    fn is(asked: &Asked, what: &str, protocol: Protocol) {
        assert_eq!((asked.to_string().as_str(), asked.protocol), (what, protocol));
        assert_eq!((asked.access_key.as_str(), asked.region.as_str()), ("AKIATEST", "eu-west-1"));
    }

    #[test]
    fn the_operation_is_read_off_the_target_the_action_the_path_or_the_method() {
        is(&json("sqs", "AmazonSQS.ListQueues", "{}"), "sqs ListQueues", Protocol::Json("1.0"));
        is(&json("dynamodb", "DynamoDB_20120810.ListTables", "{}"), "dynamodb ListTables", Protocol::Json("1.0"));
        is(&form("iam", "Action=ListRoles&Version=2010-05-08"), "iam ListRoles", Protocol::Query);
        is(&form("ec2", "Action=DescribeVpcs&Version=2016-11-15"), "ec2 DescribeVpcs", Protocol::Ec2);
        is(
            &asked("GET", "/2013-04-01/hostedzone?maxitems=3", "route53", &[], ""),
            "route53 GET /2013-04-01/hostedzone",
            Protocol::RestXml,
        );
        is(&asked("PUT", "/shop?tagging", "s3", &[], ""), "s3 PUT /shop?tagging", Protocol::RestXml);
        is(&asked("GET", "/clusters", "eks", &[], ""), "eks GET /clusters", Protocol::RestJson);
        let path = "/service/GraniteServiceVersion20100801/operation/DescribeAlarms";
        let cbor = asked("POST", path, "monitoring", &[("smithy-protocol", "rpc-v2-cbor")], "");
        is(&cbor, "cloudwatch DescribeAlarms", Protocol::Cbor);
    }

    #[test]
    fn services_that_sign_under_another_name_are_called_what_people_call_them() {
        assert_eq!(form("monitoring", "Action=DescribeAlarms").service, "cloudwatch");
        assert_eq!(json("tagging", "ResourceGroupsTaggingAPI_20170126.GetResources", "{}").service, "resourcegroupstaggingapi");
        assert_eq!(form("elasticloadbalancing", "Action=X&Version=2015-12-01").service, "elbv2");
        assert_eq!(form("elasticloadbalancing", "Action=X&Version=2012-06-01").service, "elb");
    }

    #[test]
    fn a_request_that_nobody_signed_has_no_service() {
        let message = Message { first: "GET / HTTP/1.1".to_owned(), ..Message::default() };
        assert_eq!(Asked::read(message, 0).to_string(), "- GET /");
    }

    #[test]
    fn reads_and_writes_are_told_apart_by_the_words_of_the_protocol() {
        for read in
            [json("kms", "TrentService.ListKeys", "{}"), form("iam", "Action=GetRole"), asked("HEAD", "/b", "s3", &[], "")]
        {
            assert!(read.is_read(), "{read}");
        }
        let delete = asked("DELETE", "/clusters/a", "eks", &[], "");
        for write in [json("sqs", "AmazonSQS.CreateQueue", "{}"), form("ec2", "Action=RunInstances"), delete] {
            assert!(write.is_write(), "{write}");
        }
    }

    #[test]
    fn tokens_of_pages_and_of_clients_are_found_in_every_protocol() {
        let page = |asked: &Asked| asked.page().into_iter().map(|it| it.1).collect::<Vec<_>>();
        assert_eq!(page(&json("sqs", "AmazonSQS.ListQueues", r#"{"NextToken":"t","MaxResults":3}"#)), ["t"]);
        assert_eq!(page(&form("iam", "Action=ListRoles&Marker=m")), ["m"]);
        assert_eq!(page(&asked("GET", "/b?list-type=2&continuation-token=a%2Fb", "s3", &[], "")), ["a/b"]);
        let sets = asked("GET", "/2013-04-01/hostedzone/Z1/rrset?name=a.com&type=A", "route53", &[], "");
        assert_eq!(page(&sets), ["a.com", "A"]);
        assert!(page(&json("ssm", "AmazonSSM.GetParameter", r#"{"Name":"n"}"#)).is_empty());
        assert_eq!(form("ec2", "Action=RunInstances&ClientToken=c").client_token().as_deref(), Some("c"));
        assert_eq!(json("kms", "T.X", r#"{"ClientRequestToken":"c"}"#).client_token().as_deref(), Some("c"));
        let zone = "<CreateHostedZoneRequest><CallerReference>c</CallerReference></CreateHostedZoneRequest>";
        assert_eq!(asked("POST", "/2013-04-01/hostedzone", "route53", &[], zone).client_token().as_deref(), Some("c"));
        assert_eq!(json("kms", "T.X", "{}").client_token(), None);
    }

    #[test]
    fn a_star_stands_for_the_rest_of_an_operation() {
        let made = json("sqs", "AmazonSQS.CreateQueue", "{}");
        assert!(made.is("sqs", "CreateQueue") && made.is("sqs", "Create*") && made.is("sqs", "*"));
        assert!(!made.is("sns", "*") && !made.is("sqs", "Create"));
    }
}
