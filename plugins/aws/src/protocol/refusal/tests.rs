use super::*;
use crate::model;

fn refuse(service: &str, operation: &str, status: u16, headers: &[(&str, &str)], body: &str) -> Refusal {
    let service = model::service(service).unwrap();
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    of(service, service.operation(operation).unwrap(), status, &headers, body.as_bytes())
}

#[track_caller]
fn check(refusal: &Refusal, want: (Origin, &str, &str, Option<&str>)) {
    let got = (refusal.origin, refusal.code.as_str(), refusal.message.as_str(), refusal.request_id.as_deref());
    assert_eq!(got, want);
}

#[test]
fn codes_lose_what_services_put_around_them() {
    for (text, want) in [
        ("ResourceNotFoundException", "ResourceNotFoundException"),
        ("com.amazonaws.dynamodb.v20120810#ResourceInUseException", "ResourceInUseException"),
        ("ValidationException:http://internal.amazon.com/coral/com.amazon.coral.validate/", "ValidationException"),
        ("aws.x#FooError:http://internal.amazon.com/#bar", "FooError"),
        ("InvalidGroup.NotFound", "InvalidGroup.NotFound"),
        ("<script>\u{1b}é", "script"),
    ] {
        assert_eq!(bare_code(text), want, "{text}");
    }
    assert_eq!(bare_code(&"x".repeat(1000)).len(), CODE);
}

#[test]
fn json_errors_are_read_from_the_body() {
    let body = r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no such\nqueue"}"#;
    let refusal = refuse("sqs", "GetQueueUrl", 400, &[("X-Amzn-RequestId", "r-1")], body);
    check(&refusal, (Origin::Service, "QueueDoesNotExist", "no such queue", Some("r-1")));
    assert_eq!(refusal.class(), Class::NotFound);
}

#[test]
fn rest_json_errors_are_read_from_a_header_first() {
    let headers = [("x-amzn-ErrorType", "ResourceConflictException:http://internal.amazon.com/"), ("retry-after", "7")];
    let refusal = refuse("lambda", "CreateFunction", 409, &headers, r#"{"Type":"User","Message":"exists","Code":"Other"}"#);
    check(&refusal, (Origin::Service, "ResourceConflictException", "exists", None));
    assert_eq!((refusal.class(), refusal.retry_after), (Class::Exists, Some(7000)));
    let refusal = refuse("lambda", "UpdateFunctionCode", 409, &headers, "");
    check(&refusal, (Origin::Service, "ResourceConflictException", "", None));
    assert_eq!(refusal.class(), Class::Busy);
}

#[test]
fn query_errors_are_read() {
    let body = r#"<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>
        <Code>NoSuchEntity</Code><Message>no role &amp; no &lt;name&gt;</Message></Error><RequestId>r-2</RequestId></ErrorResponse>"#;
    let refusal = refuse("iam", "GetRole", 404, &[], body);
    check(&refusal, (Origin::Service, "NoSuchEntity", "no role & no <name>", Some("r-2")));
    assert_eq!(refusal.class(), Class::NotFound);
}

#[test]
fn ec2_errors_are_read() {
    let body = r#"<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>DependencyViolation</Code>
        <Message>has dependencies</Message></Error><Error><Code>Other</Code></Error></Errors><RequestID>r-3</RequestID></Response>"#;
    let refusal = refuse("ec2", "DeleteVpc", 400, &[], body);
    check(&refusal, (Origin::Service, "DependencyViolation", "has dependencies", Some("r-3")));
    assert_eq!(refusal.class(), Class::Dependency);
}

#[test]
fn s3_errors_are_read_and_tell_the_region() {
    let body = "<Error><Code>PermanentRedirect</Code><Message>m</Message><Bucket>b</Bucket><RequestId>r-4</RequestId></Error>";
    let headers = [("x-amz-bucket-region", "eu-west-1"), ("x-amz-request-id", "r-5")];
    let refusal = refuse("s3", "GetBucketPolicy", 301, &headers, body);
    check(&refusal, (Origin::Service, "PermanentRedirect", "m", Some("r-5")));
    assert_eq!((refusal.class(), refusal.region.as_deref()), (Class::Redirected, Some("eu-west-1")));
    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>us-west-2</Region></Error>";
    assert_eq!(refuse("s3", "GetBucketPolicy", 400, &[], body).region.as_deref(), Some("us-west-2"));
}

#[test]
fn route_53_errors_are_read_also_where_the_code_is_the_element() {
    let body = r#"<InvalidChangeBatch xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><Messages><Message>it exists</Message>
        <Message>second</Message></Messages><RequestId>r-6</RequestId></InvalidChangeBatch>"#;
    let refusal = refuse("route53", "ChangeResourceRecordSets", 400, &[], body);
    check(&refusal, (Origin::Service, "InvalidChangeBatch", "it exists", Some("r-6")));
    let body =
        "<ErrorResponse><Error><Code>NoSuchHostedZone</Code><Message>m</Message></Error><RequestId>r</RequestId></ErrorResponse>";
    assert_eq!(refuse("route53", "GetHostedZone", 404, &[], body).class(), Class::NotFound);
}

#[test]
fn an_answer_without_a_body_speaks_by_its_status() {
    for (status, class) in [
        (301, Class::Redirected),
        (400, Class::Invalid),
        (403, Class::Unauthorized),
        (404, Class::NotFound),
        (405, Class::Unsupported),
        (412, Class::Conflict),
        (429, Class::Throttled),
        (500, Class::Transient),
        (503, Class::Transient),
    ] {
        let refusal = refuse("s3", "HeadBucket", status, &[], " ");
        check(&refusal, (Origin::Bare, "", &format!("S3 answers {status}, and nothing else"), None));
        assert_eq!(refusal.class(), class, "{status}");
    }
}

#[test]
fn what_is_no_document_of_the_protocol_is_told_apart() {
    let page = "<html><head><title>503</title></head><body><p>canary</body></html>";
    let xhtml = "<html><head/><body><h1>canary</h1></body></html>";
    let cut = "<ErrorResponse><Error><Code>Throttling</Code><Message>canary";
    for (service, operation, body) in [
        ("sqs", "GetQueueUrl", page),
        ("sqs", "GetQueueUrl", r#"{"__type":"Thrott"#),
        ("sqs", "GetQueueUrl", "[]"),
        ("iam", "GetRole", page),
        ("iam", "GetRole", xhtml),
        ("iam", "GetRole", cut),
        ("iam", "GetRole", "<Error></Error>"),
        ("ec2", "DescribeVpcs", "canary"),
        ("s3", "GetObject", xhtml),
        ("route53", "GetChange", cut),
    ] {
        let refusal = refuse(service, operation, 503, &[], body);
        assert_eq!((refusal.origin, refusal.code.as_str(), refusal.class()), (Origin::Stranger, "", Class::Transient), "{body}");
        assert!(!refusal.to_string().contains("canary"), "{refusal}");
    }
}

#[test]
fn what_a_service_says_is_cut_and_on_one_line() {
    let body = format!("{{\"__type\":\"X\",\"message\":\"\\u001b[2Jé{}\"}}", "é".repeat(5000));
    let message = refuse("kms", "CreateKey", 400, &[], &body).message;
    assert!(message.len() <= MESSAGE && !message.contains('\u{1b}'), "{}", message.len());
}

#[test]
fn a_wait_is_believed_up_to_a_day() {
    for (name, value, want) in [
        ("Retry-After", "3", Some(3000)),
        ("x-amz-retry-after", "1500", Some(1500)),
        ("retry-after", "86401", None),
        ("retry-after", "99999999999999999999", None),
        ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT", None),
    ] {
        assert_eq!(refuse("kms", "CreateKey", 503, &[(name, value)], "").retry_after, want, "{name}: {value}");
    }
}

#[test]
fn codes_mean_what_the_services_document() {
    for (service, operation, code, message, want) in [
        ("ec2", "RunInstances", "RequestLimitExceeded", "", Class::Throttled),
        ("ec2", "RunInstances", "Client.RequestLimitExceeded", "", Class::Throttled),
        ("ec2", "RunInstances", "VcpuLimitExceeded", "", Class::Quota),
        ("ec2", "RunInstances", "InsufficientInstanceCapacity", "", Class::Transient),
        ("ec2", "RunInstances", "IdempotentParameterMismatch", "", Class::IdempotentMismatch),
        ("ec2", "RunInstances", "DryRunOperation", "", Class::DryRun),
        ("ec2", "CreateVpc", "UnauthorizedOperation", "", Class::Unauthorized),
        ("ec2", "DeleteVpc", "InvalidVpcID.NotFound", "", Class::NotFound),
        ("ec2", "DeleteVpc", "InvalidVpcID.Malformed", "", Class::Invalid),
        ("ec2", "DescribeLaunchTemplates", "InvalidLaunchTemplateName.NotFoundException", "", Class::NotFound),
        ("ec2", "CreateLaunchTemplate", "InvalidLaunchTemplateName.AlreadyExistsException", "", Class::Exists),
        ("ec2", "CreateSecurityGroup", "InvalidGroup.Duplicate", "", Class::Exists),
        ("ec2", "AuthorizeSecurityGroupIngress", "InvalidPermission.Duplicate", "", Class::Exists),
        ("ec2", "DeleteSnapshot", "InvalidSnapshot.InUse", "", Class::Dependency),
        ("ec2", "StopInstances", "IncorrectInstanceState", "", Class::Busy),
        ("ec2", "CreateSubnet", "InvalidSubnet.Conflict", "", Class::Conflict),
        ("iam", "DeleteRole", "DeleteConflict", "", Class::Dependency),
        ("iam", "CreateRole", "EntityAlreadyExists", "", Class::Exists),
        ("iam", "CreateRole", "ExpiredToken", "", Class::Expired),
        ("iam", "CreateRole", "SignatureDoesNotMatch", "Signature expired: 1 is now earlier than 2", Class::Skewed),
        ("iam", "CreateRole", "SignatureDoesNotMatch", "check your key", Class::Unauthorized),
        ("dynamodb", "CreateTable", "ResourceInUseException", "", Class::Exists),
        ("dynamodb", "UpdateTable", "ResourceInUseException", "", Class::Busy),
        ("dynamodb", "CreateTable", "LimitExceededException", "", Class::Throttled),
        ("kms", "CreateAlias", "LimitExceededException", "", Class::Quota),
        ("eks", "DeleteCluster", "ResourceInUseException", "", Class::Dependency),
        ("ecr", "DeleteRepository", "RepositoryNotEmptyException", "", Class::Dependency),
        ("sqs", "GetQueueUrl", "AWS.SimpleQueueService.NonExistentQueue", "", Class::NotFound),
        ("sqs", "CreateQueue", "QueueDeletedRecently", "", Class::Busy),
        ("sns", "CreateTopic", "InvalidParameter", "", Class::Invalid),
        ("s3", "GetBucketPolicy", "NoSuchBucketPolicy", "", Class::NotFound),
        ("s3", "GetBucketEncryption", "ServerSideEncryptionConfigurationNotFoundError", "", Class::NotFound),
        ("s3", "DeleteBucket", "BucketNotEmpty", "", Class::Dependency),
        ("s3", "CreateBucket", "OperationAborted", "", Class::Busy),
        ("s3", "PutObject", "SlowDown", "", Class::Throttled),
        ("route53", "DeleteHostedZone", "HostedZoneNotEmpty", "", Class::Dependency),
        ("route53", "CreateHostedZone", "PriorRequestNotComplete", "", Class::Busy),
        ("elbv2", "CreateListener", "DuplicateTagKeys", "", Class::Invalid),
        ("elbv2", "CreateListener", "TooManyListeners", "", Class::Quota),
        ("lambda", "ListFunctions", "TooManyRequestsException", "", Class::Throttled),
        ("kms", "CreateKey", "UnknownOperationException", "", Class::Unsupported),
        ("kms", "CreateKey", "UnrecognizedClientException", "", Class::Unauthorized),
    ] {
        let mut refusal = refuse(service, operation, 400, &[], "");
        (refusal.code, refusal.message, refusal.origin) = (code.to_owned(), message.to_owned(), Origin::Service);
        assert_eq!(refusal.class(), want, "{service} {operation} {code}");
    }
}
