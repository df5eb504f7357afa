//! What is known of each service: its operations, their shapes, and the names of both on the wire.
//!
//! The facts are made by `models/update.py` and embedded as text; a service is read when it is first asked for, once. Every string
//! is borrowed from that text. Nothing here comes from the wire or from a document.
//!
//! Invariant: a [`Member`] of a service that could be read leads to a shape of the same service.

use std::sync::OnceLock;

mod read;

/// The embedded text of each service, by name, in order.
static TEXTS: [(&str, &str); 19] = [
    ("autoscaling", include_str!("../models/autoscaling.json")),
    ("cloudwatch", include_str!("../models/cloudwatch.json")),
    ("dynamodb", include_str!("../models/dynamodb.json")),
    ("ec2", include_str!("../models/ec2.json")),
    ("ecr", include_str!("../models/ecr.json")),
    ("eks", include_str!("../models/eks.json")),
    ("elbv2", include_str!("../models/elbv2.json")),
    ("iam", include_str!("../models/iam.json")),
    ("kms", include_str!("../models/kms.json")),
    ("lambda", include_str!("../models/lambda.json")),
    ("logs", include_str!("../models/logs.json")),
    ("resourcegroupstaggingapi", include_str!("../models/resourcegroupstaggingapi.json")),
    ("route53", include_str!("../models/route53.json")),
    ("s3", include_str!("../models/s3.json")),
    ("secretsmanager", include_str!("../models/secretsmanager.json")),
    ("sns", include_str!("../models/sns.json")),
    ("sqs", include_str!("../models/sqs.json")),
    ("ssm", include_str!("../models/ssm.json")),
    ("sts", include_str!("../models/sts.json")),
];

static READ: [OnceLock<Option<Service>>; TEXTS.len()] = [const { OnceLock::new() }; TEXTS.len()];

/// The service of this name (`ec2`, `elbv2`), as the SDKs of AWS call it; none where no facts of it are embedded.
pub fn service(name: &str) -> Option<&'static Service> {
    let at = TEXTS.iter().position(|(it, _)| *it == name)?;
    let (_, text) = TEXTS.get(at)?;
    READ.get(at)?.get_or_init(|| read::service(text).ok()).as_ref()
}

/// The names of all services, in order.
pub fn services() -> impl Iterator<Item = &'static str> {
    TEXTS.iter().map(|(name, _)| *name)
}

/// How a service puts values into HTTP, as AWS names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// JSON both ways, the operation in `X-Amz-Target`.
    Json,
    /// Verbs and paths, JSON in the body.
    RestJson,
    /// Verbs and paths, XML in the body.
    RestXml,
    /// A form to the service, XML back.
    Query,
    /// [`Query`](Self::Query) with names and lists of EC2's own.
    Ec2,
}

/// A service: facts, operations and shapes.
#[derive(Debug)]
pub struct Service {
    /// `elbv2`.
    pub name: &'static str,
    /// As AWS titles it: `Elastic Load Balancing v2`.
    pub id: &'static str,
    pub protocol: Protocol,
    /// Of the protocol [`Protocol::Json`]: `1.0` or `1.1`.
    pub json: &'static str,
    /// What stands before the operation in `X-Amz-Target`.
    pub target: &'static str,
    /// Of the API: `2016-11-15`.
    pub version: &'static str,
    /// First label of the usual host name: `elasticloadbalancing`.
    pub endpoint: &'static str,
    /// The service in the scope of a signature.
    pub signing: &'static str,
    /// Namespace of its XML.
    pub namespace: Option<&'static str>,
    /// Host name where the service has, or had, one for all regions.
    pub global: Option<&'static str>,
    /// It spoke the query protocol once, and tells its old error codes where asked to.
    pub compatible: bool,
    operations: Vec<Operation>,
    /// Sorted by name; the scalars first.
    shapes: Vec<Shape>,
}

impl Service {
    /// The operation of this name.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|it| it.name == name)
    }

    /// All operations, in order of their names.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The shape of this name (`VpcConfigRequest`).
    pub fn shape(&self, name: &str) -> Option<&Shape> {
        self.shapes.iter().find(|it| it.name == name)
    }

    /// The shape that a member holds.
    pub fn of(&self, member: &Member) -> &Shape {
        self.shapes.get(member.target).unwrap_or(Shape::nothing())
    }

    /// The shape of an operation's input.
    pub fn input(&self, operation: &Operation) -> Option<&Shape> {
        operation.input.as_ref().map(|it| self.of(it))
    }

    /// The shape of an operation's output.
    pub fn output(&self, operation: &Operation) -> Option<&Shape> {
        operation.output.as_ref().map(|it| self.of(it))
    }

    /// The member that a dotted path leads to from a shape (`VpcConfig.SubnetIds`); lists and maps on the way are passed through
    /// to what they hold.
    pub fn member<'a>(&'a self, shape: &'a Shape, path: &str) -> Option<&'a Member> {
        let mut at = shape;
        let mut found = None;
        for name in path.split('.') {
            while let Some(inner) = at.inner() {
                at = self.of(inner);
            }
            let member = at.members.iter().find(|it| it.name == name)?;
            at = self.of(member);
            found = Some(member);
        }
        found
    }
}

/// One operation of a service.
#[derive(Debug)]
pub struct Operation {
    /// `RunInstances`.
    pub name: &'static str,
    pub method: &'static str,
    /// Path with `{labels}`, and a query of constants behind `?`.
    pub uri: &'static str,
    pub input: Option<Member>,
    pub output: Option<Member>,
    /// Element around the output in an answer of the query protocol.
    pub wrapper: Option<&'static str>,
    pub page: Option<Page>,
    /// What stands before the host name, with `{labels}`.
    pub host: Option<&'static str>,
    /// The service refuses a request without a checksum of its body.
    pub checksum: bool,
    /// The answer's root element is the one member of the output, with nothing around it.
    pub unwrapped: bool,
    /// Input member that makes another try the same call.
    pub token: Option<&'static str>,
}

/// How an operation answers in pages.
#[derive(Debug)]
pub struct Page {
    /// Members of the input that ask for the next page…
    pub input: Vec<&'static str>,
    /// …and those of the output that they are taken from; an expression of JMESPath in rare cases.
    pub output: Vec<&'static str>,
    /// Members of the output that hold what was asked for, some as dotted paths.
    pub result: Vec<&'static str>,
    /// Member of the input that bounds a page.
    pub limit: Option<&'static str>,
    /// Member of the output that says whether there is more.
    pub more: Option<&'static str>,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    /// Of 32 or 64 bits.
    Integer,
    Float,
    Boolean,
    Blob,
    Timestamp,
    List,
    Map,
    Structure,
}

impl Kind {
    /// Whether a value of it is text on the wire, with nothing in it.
    pub fn is_scalar(self) -> bool {
        !matches!(self, Self::List | Self::Map | Self::Structure)
    }

    /// Its word in messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Blob => "blob",
            Self::Timestamp => "timestamp",
            Self::List => "list",
            Self::Map => "map",
            Self::Structure => "structure",
        }
    }
}

/// A type of a service.
#[derive(Debug)]
pub struct Shape {
    pub name: &'static str,
    pub kind: Kind,
    /// An integer of 64 bits, a float of double precision.
    pub wide: bool,
    /// Values of a string, in the model's order; empty where all are good, or where there are more than 200.
    pub values: Vec<&'static str>,
    /// Members of a structure in the model's order; `member` of a list; `key` and `value` of a map.
    pub members: Vec<Member>,
}

/// Stands in for an output that is not there; and for a shape that is not, which the reader rules out.
static NOTHING: Shape = Shape { name: "", kind: Kind::Structure, wide: false, values: Vec::new(), members: Vec::new() };

impl Shape {
    /// A structure without members.
    pub fn nothing() -> &'static Self {
        &NOTHING
    }

    /// What a list or a map holds.
    pub fn inner(&self) -> Option<&Member> {
        if matches!(self.kind, Kind::List | Kind::Map) { self.members.last() } else { None }
    }

    /// The member that is the whole body.
    pub fn payload(&self) -> Option<&Member> {
        self.members.iter().find(|it| it.place == Place::Payload)
    }
}

/// Where in HTTP a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One of those in the body.
    Body,
    /// All of the body.
    Payload,
    Header,
    /// A map, each entry a header whose name begins with the wire name.
    Headers,
    Query,
    Path,
    Status,
}

/// How a point in time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// `2020-01-02T03:04:05Z`.
    Iso8601,
    /// `Thu, 02 Jan 2020 03:04:05 GMT`.
    Rfc822,
    /// Seconds since 1970, as a number.
    Unix,
}

/// A namespace that an element declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace {
    pub prefix: Option<&'static str>,
    pub uri: &'static str,
}

/// A place that holds a value: its shape, and how it is written there.
#[derive(Debug)]
pub struct Member {
    pub name: &'static str,
    /// Number of the shape; see [`Service::of`].
    target: usize,
    /// Name on the wire, where it is another.
    pub wire: Option<&'static str>,
    /// Name in a form to EC2, where that is another still.
    pub query: Option<&'static str>,
    pub place: Place,
    pub required: bool,
    /// Not to be shown.
    pub sensitive: bool,
    /// A list or map whose items stand in the parent.
    pub flattened: bool,
    /// An attribute of the parent's element.
    pub attribute: bool,
    pub streaming: bool,
    /// Makes another try the same call.
    pub token: bool,
    /// Part of the host name.
    pub host: bool,
    pub time: Option<TimeFormat>,
    pub namespace: Option<Namespace>,
}

impl Member {
    /// Whether it is, or may be, one of those in the body.
    pub fn in_body(&self) -> bool {
        self.place == Place::Body
    }

    /// Its name in XML, JSON, headers and queries.
    pub fn wire_name(&self) -> &'static str {
        self.wire.unwrap_or(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_can_be_read_and_is_what_it_is_called() {
        for name in services() {
            let (_, text) = TEXTS.iter().find(|(it, _)| *it == name).unwrap();
            let read = read::service(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(read.name, name);
            assert!(std::ptr::eq(service(name).unwrap(), service(name).unwrap()));
        }
        assert!(service("nonesuch").is_none());
    }

    #[test]
    fn every_operation_that_is_listed_is_there() {
        let listed = include_str!("../models/operations.txt");
        for line in listed.lines() {
            let (name, operation) = line.split_once(' ').unwrap();
            assert!(service(name).and_then(|it| it.operation(operation)).is_some(), "{line}; run models/update.py");
        }
        let all: usize = services().map(|it| service(it).unwrap().operations().len()).sum();
        assert_eq!(all, listed.lines().count(), "run models/update.py");
    }

    #[test]
    fn a_path_leads_through_structures_lists_and_maps() {
        let lambda = service("lambda").unwrap();
        let input = lambda.input(lambda.operation("CreateFunction").unwrap()).unwrap();
        let subnets = lambda.member(input, "VpcConfig.SubnetIds").unwrap();
        assert_eq!((lambda.of(subnets).kind, subnets.name), (Kind::List, "SubnetIds"));
        let ec2 = service("ec2").unwrap();
        let input = ec2.input(ec2.operation("RunInstances").unwrap()).unwrap();
        let size = ec2.member(input, "BlockDeviceMappings.Ebs.VolumeSize").unwrap();
        assert_eq!(ec2.of(size).kind, Kind::Integer);
        assert!(ec2.member(input, "BlockDeviceMappings.Ebs.Nonesuch").is_none());
        assert!(ec2.member(input, "ImageId.Nonesuch").is_none());
    }

    #[test]
    fn facts_of_members_are_read() {
        let lambda = service("lambda").unwrap();
        let variables = lambda.member(lambda.shape("Environment").unwrap(), "Variables").unwrap();
        assert!(variables.sensitive);
        assert!(lambda.shape("Architecture").unwrap().values.contains(&"arm64"));
        assert_eq!(service("ec2").unwrap().operation("RunInstances").unwrap().token, Some("ClientToken"));
        let s3 = service("s3").unwrap();
        let put = s3.operation("PutObject").unwrap();
        let input = s3.input(put).unwrap();
        assert_eq!(input.payload().unwrap().name, "Body");
        assert_eq!(s3.member(input, "Metadata").unwrap().place, Place::Headers);
        assert!(s3.member(input, "Key").unwrap().required);
        assert!(s3.operation("PutBucketLifecycleConfiguration").unwrap().checksum);
        let page = s3.operation("ListObjectsV2").unwrap().page.as_ref().unwrap();
        assert_eq!((page.input.as_slice(), page.limit), (["ContinuationToken"].as_slice(), Some("MaxKeys")));
    }

    #[test]
    fn a_model_that_does_not_hold_together_is_refused() {
        for (text, want) in [
            ("{}", "missing field"),
            (
                r#"{"name":"x","id":"x","protocol":"soap","version":"1","endpoint":"x","signing":"x","operations":{},"shapes":{}}"#,
                "soap",
            ),
            (
                r#"{"name":"x","id":"x","protocol":"ec2","version":"1","endpoint":"x","signing":"x","operations":{"A":{"http":"GET /","in":"Gone"}},"shapes":{}}"#,
                "Gone",
            ),
            (
                r#"{"name":"x","id":"x","protocol":"ec2","version":"1","endpoint":"x","signing":"x","operations":{},"shapes":{"A":["set","s"]}}"#,
                "set",
            ),
        ] {
            let error = read::service(text).map(|it| it.name).unwrap_err();
            assert!(error.contains(want), "{want}: {error}");
        }
    }
}
