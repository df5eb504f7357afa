use serde_json::json;

use super::*;
use crate::model;

mod cases;
mod hostile;

fn ask(service: &str, operation: &str, input: &Json) -> Result<Wire, Invalid> {
    let service = model::service(service).unwrap();
    request(service, service.operation(operation).unwrap(), input)
}

fn answer(service: &str, operation: &str, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Result<Json, Refusal> {
    let service = model::service(service).unwrap();
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    response(service, service.operation(operation).unwrap(), status, &headers, body)
}

#[track_caller]
fn refused(service: &str, operation: &str, input: &Json, path: &str, message: &str) {
    let error = ask(service, operation, input).unwrap_err();
    assert_eq!(error.path, path, "{error}");
    assert!(error.message.contains(message), "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[test]
fn an_input_that_does_not_fit_the_model_is_refused_with_its_place() {
    refused("sqs", "CreateQueue", &json!([]), "", "no object");
    refused("sqs", "CreateQueue", &json!({}), "/QueueName", "missing");
    refused("sqs", "CreateQueue", &json!({ "QueueName": null }), "/QueueName", "missing");
    refused("sqs", "CreateQueue", &json!({ "QueueName": "q", "Nonesuch/~": 1 }), "/Nonesuch~1~0", "not known");
    refused("sqs", "CreateQueue", &json!({ "QueueName": ["canary"] }), "/QueueName", "no text");
    refused("sqs", "CreateQueue", &json!({ "QueueName": "q", "Attributes": { "All": 1 } }), "/Attributes/All", "no text");
    refused("sqs", "CreateQueue", &json!({ "QueueName": "q", "Attributes": "canary" }), "/Attributes", "no object");
    let mapping = |ebs: Json| json!({ "MinCount": 1, "MaxCount": 1, "BlockDeviceMappings": [{}, { "Ebs": ebs }] });
    refused("ec2", "RunInstances", &mapping(json!({ "VolumeSize": "8" })), "/BlockDeviceMappings/1/Ebs/VolumeSize", "no integer");
    refused("ec2", "RunInstances", &mapping(json!({ "VolumeSize": 8.5 })), "/BlockDeviceMappings/1/Ebs/VolumeSize", "no integer");
    refused(
        "ec2",
        "RunInstances",
        &mapping(json!({ "VolumeSize": 1_u64 << 31 })),
        "/BlockDeviceMappings/1/Ebs/VolumeSize",
        "too large",
    );
    refused("ec2", "RunInstances", &mapping(json!({ "Encrypted": "true" })), "/BlockDeviceMappings/1/Ebs/Encrypted", "neither");
    refused(
        "ec2",
        "RunInstances",
        &json!({ "MinCount": 1, "MaxCount": 1, "SecurityGroupIds": "canary" }),
        "/SecurityGroupIds",
        "no list",
    );
    refused(
        "ec2",
        "RunInstances",
        &json!({ "MinCount": 1, "MaxCount": 1, "SecurityGroupIds": [null] }),
        "/SecurityGroupIds/0",
        "no text",
    );
    refused(
        "ec2",
        "ImportKeyPair",
        &json!({ "KeyName": "k", "PublicKeyMaterial": "canary!" }),
        "/PublicKeyMaterial",
        "no base64",
    );
    let until = json!({ "MinCount": 1, "MaxCount": 1, "InstanceMarketOptions": { "SpotOptions": { "ValidUntil": "canary" } } });
    refused("ec2", "RunInstances", &until, "/InstanceMarketOptions/SpotOptions/ValidUntil", "no point in time");
    refused("sts", "GetCallerIdentity", &json!({ "x": 1 }), "/x", "not known");
    assert!(ask("sts", "GetCallerIdentity", &Json::Null).is_ok());
}

#[test]
fn what_would_leave_its_place_in_a_path_or_a_header_is_refused() {
    for name in ["..", ".", "a/../b", ""] {
        refused("eks", "DescribeCluster", &json!({ "name": name }), "/name", "path");
        refused("s3", "GetObject", &json!({ "Bucket": "bucket", "Key": name }), "/Key", "path");
    }
    let put = |content: &str| json!({ "Bucket": "b", "Key": "k", "ContentType": content });
    for bad in ["a\r\nx-evil: canary", "canary\0", "ü"] {
        refused("s3", "PutObject", &put(bad), "/ContentType", "printable ASCII");
        refused(
            "s3",
            "PutObject",
            &json!({ "Bucket": "b", "Key": "k", "Metadata": { "m": bad } }),
            "/Metadata/m",
            "printable ASCII",
        );
    }
    let named = json!({ "Bucket": "b", "Key": "k", "Metadata": { "a:b": "x" } });
    refused("s3", "PutObject", &named, "/Metadata/a:b", "no name");
}

#[test]
fn a_bucket_moves_from_the_path_to_the_host() {
    for (bucket, key, path, moved) in [
        ("my-bucket", None, "/", true),
        ("my-bucket", Some("a b/c"), "/a%20b/c", true),
        ("my.bucket", Some("k"), "/my.bucket/k", false),
        ("Old_Bucket", Some("k"), "/Old_Bucket/k", false),
        ("-bucket", Some("k"), "/-bucket/k", false),
        ("ab", Some("k"), "/ab/k", false),
    ] {
        let mut wire = match key {
            Some(key) => ask("s3", "GetObject", &json!({ "Bucket": bucket, "Key": key })).unwrap(),
            None => ask("s3", "GetBucketPolicy", &json!({ "Bucket": bucket })).unwrap(),
        };
        assert_eq!(wire.take_bucket().as_deref(), moved.then_some(bucket));
        assert_eq!(wire.path, path);
        assert_eq!(wire.take_bucket(), None);
    }
    assert_eq!(ask("s3", "ListBuckets", &json!({})).unwrap().take_bucket(), None);
    assert_eq!(ask("eks", "DescribeCluster", &json!({ "name": "cluster" })).unwrap().take_bucket(), None);
}

#[test]
fn an_operation_that_needs_a_checksum_has_one() {
    let tagging = json!({ "TagSet": [{ "Key": "a", "Value": "b\rc\u{1}" }] });
    let wire = ask("s3", "PutBucketTagging", &json!({ "Bucket": "bucket", "Tagging": tagging })).unwrap();
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet><Tag>\
                <Key>a</Key><Value>b&#xD;c&#x1;</Value></Tag></TagSet></Tagging>";
    assert_eq!(std::str::from_utf8(&wire.body), Ok(body));
    assert_eq!(wire.header("x-amz-sdk-checksum-algorithm"), Some("CRC32"));
    // Python: base64.b64encode(zlib.crc32(body).to_bytes(4, "big"))
    assert_eq!(wire.header("x-amz-checksum-crc32"), Some("k1yf+w=="));
    let chosen = json!({ "Bucket": "bucket", "Key": "k", "Body": "aGVsbG8=", "ChecksumAlgorithm": "SHA256" });
    let wire = ask("s3", "PutObject", &chosen).unwrap();
    assert_eq!(wire.body, b"hello");
    assert_eq!(wire.header("x-amz-checksum-sha256"), Some("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="));
    let plain = ask("s3", "PutObject", &json!({ "Bucket": "bucket", "Key": "k", "Body": "aGVsbG8=" })).unwrap();
    assert!(plain.headers.is_empty(), "{:?}", plain.headers);
    let given = json!({ "Bucket": "bucket", "Tagging": tagging, "ContentMD5": "x" });
    assert_eq!(ask("s3", "PutBucketTagging", &given).unwrap().header("x-amz-checksum-crc32"), None);
    let other = json!({ "Bucket": "bucket", "Tagging": tagging, "ChecksumAlgorithm": "XXHASH3" });
    refused("s3", "PutBucketTagging", &other, "/ChecksumAlgorithm", "CRC32 or SHA256");
}

#[test]
fn an_id_of_route_53_is_taken_with_and_without_its_prefix() {
    for id in ["Z123", "/hostedzone/Z123"] {
        assert_eq!(ask("route53", "GetHostedZone", &json!({ "Id": id })).unwrap().path, "/2013-04-01/hostedzone/Z123");
    }
    assert_eq!(ask("route53", "GetChange", &json!({ "Id": "/change/C1" })).unwrap().path, "/2013-04-01/change/C1");
    refused("route53", "GetHostedZone", &json!({ "Id": "/hostedzone/" }), "/Id", "path");
}

#[test]
fn an_arn_in_a_path_is_one_part_of_it() {
    let input = json!({ "Resource": "arn:aws:lambda:eu-west-1:1:function:f", "TagKeys": ["a b", "c&d"] });
    let wire = ask("lambda", "UntagResource", &input).unwrap();
    assert_eq!(wire.path, "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aeu-west-1%3A1%3Afunction%3Af");
    assert_eq!(wire.query, "tagKeys=a%20b&tagKeys=c%26d");
}

#[test]
fn a_payload_of_bytes_or_text_is_the_whole_body() {
    let headers =
        [("ETag", "\"e\""), ("Content-Length", "3"), ("X-Amz-Meta-One", "1"), ("Last-Modified", "Thu, 02 Jan 2020 03:04:05 GMT")];
    let got = answer("s3", "GetObject", 200, &headers, b"\x00\xff\xfe").unwrap();
    assert_eq!(got["Body"], "AP/+");
    assert_eq!((&got["ContentLength"], &got["ETag"]), (&json!(3), &json!("\"e\"")));
    assert_eq!((&got["Metadata"], &got["LastModified"]), (&json!({ "One": "1" }), &json!("2020-01-02T03:04:05Z")));
    assert_eq!(answer("s3", "GetBucketPolicy", 200, &[], b"{\"a\":1}").unwrap(), json!({ "Policy": "{\"a\":1}" }));
    let error = answer("s3", "GetBucketPolicy", 200, &[], b"\xff").unwrap_err();
    assert_eq!((error.origin, error.class()), (Origin::Garbled, Class::Transient));
}

#[test]
fn the_location_of_a_bucket_is_the_root_of_its_answer() {
    let body = |inner: &str| {
        format!("<?xml version=\"1.0\"?>\n<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"{inner}")
    };
    let got = answer("s3", "GetBucketLocation", 200, &[], body(">eu-west-1</LocationConstraint>").as_bytes()).unwrap();
    assert_eq!(got, json!({ "LocationConstraint": "eu-west-1" }));
    // us-east-1 has none.
    for inner in ["/>", "></LocationConstraint>"] {
        assert_eq!(answer("s3", "GetBucketLocation", 200, &[], body(inner).as_bytes()).unwrap(), json!({}));
    }
}

#[test]
fn an_error_under_a_success_is_a_refusal() {
    let body = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>";
    let error = answer("s3", "ListObjectsV2", 200, &[], body).unwrap_err();
    assert_eq!((error.status, error.code.as_str(), error.class()), (200, "InternalError", Class::Transient));
}

#[test]
fn a_body_that_nothing_is_read_from_may_be_anything_but_a_page_or_an_error() {
    for body in ["", "{\"Version\":\"2012-10-17\"}", "text", "<PutBucketPolicyResponse/>"] {
        assert_eq!(answer("s3", "PutBucketPolicy", 200, &[], body.as_bytes()).unwrap(), json!({}), "{body}");
    }
    for body in ["<!DOCTYPE html><html>", "<html/>", " <Error><Code>SlowDown</Code></Error>"] {
        assert!(answer("s3", "PutBucketPolicy", 200, &[], body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_head_is_answered_by_headers_alone() {
    let got = answer("s3", "HeadBucket", 200, &[("x-amz-bucket-region", "eu-west-1")], b"").unwrap();
    assert_eq!(got, json!({ "BucketRegion": "eu-west-1" }));
    let error = answer("s3", "HeadBucket", 404, &[("x-amz-request-id", "r")], b"").unwrap_err();
    assert_eq!((error.class(), error.origin, error.request_id.as_deref()), (Class::NotFound, Origin::Bare, Some("r")));
}

#[test]
fn integers_stay_exact() {
    let body = br#"{"Table":{"ItemCount":9007199254740993,"TableSizeBytes":-9223372036854775808}}"#;
    let got = answer("dynamodb", "DescribeTable", 200, &[], body).unwrap();
    assert_eq!(got["Table"]["ItemCount"].as_i64(), Some(9_007_199_254_740_993));
    assert_eq!(got["Table"]["TableSizeBytes"].as_i64(), Some(i64::MIN));
    let body = b"<ListBucketResult><Contents><Size>9007199254740993</Size></Contents></ListBucketResult>";
    let got = answer("s3", "ListObjectsV2", 200, &[], body).unwrap();
    assert_eq!(got["Contents"][0]["Size"].as_i64(), Some(9_007_199_254_740_993));
}

#[test]
fn a_server_that_is_loose_with_types_is_understood() {
    let body = br#"{"Attributes":{"VisibilityTimeout":30,"FifoQueue":true},"Extra":[1]}"#;
    let got = answer("sqs", "GetQueueAttributes", 200, &[], body).unwrap();
    assert_eq!(got, json!({ "Attributes": { "VisibilityTimeout": "30", "FifoQueue": "true" } }));
    let body = br#"{"Table":{"ItemCount":"7","TableSizeBytes":5.0,"CreationDateTime":"2020-01-02T03:04:05.5Z","DeletionProtectionEnabled":"True","TableName":null}}"#;
    let want = json!({ "Table": { "ItemCount": 7, "TableSizeBytes": 5, "CreationDateTime": "2020-01-02T03:04:05.500Z", "DeletionProtectionEnabled": true } });
    assert_eq!(answer("dynamodb", "DescribeTable", 200, &[], body).unwrap(), want);
    assert_eq!(answer("sqs", "TagQueue", 200, &[], b"").unwrap(), json!({}));
    assert_eq!(answer("sqs", "GetQueueUrl", 200, &[], b"null").unwrap(), json!({}));
}

#[test]
fn a_success_that_is_no_answer_of_the_operation_is_garbled_and_tells_nothing_of_it() {
    for (service, operation, body) in [
        ("sqs", "GetQueueUrl", "<html><body>canary</body></html>"),
        ("sqs", "TagQueue", "<html><body>canary</body></html>"),
        ("sqs", "GetQueueUrl", r#"{"QueueUrl":"canar"#),
        ("sqs", "GetQueueUrl", r#"["canary"]"#),
        ("sqs", "GetQueueUrl", r#"{"QueueUrl":["canary"]}"#),
        ("dynamodb", "DescribeTable", r#"{"Table":{"CreationDateTime":"canary"}}"#),
        ("dynamodb", "DescribeTable", r#"{"Table":{"ItemCount":1e99}}"#),
        ("lambda", "GetFunction", "canary"),
        ("lambda", "TagResource", "<html><body>canary</body></html>"),
        ("iam", "GetRole", "<html><body>canary</body></html>"),
        ("iam", "DeleteRole", "<html><body>canary</body></html>"),
        ("iam", "GetRole", ""),
        ("iam", "GetRole", "<ErrorResponse><Error><Code>canary</Code></Error></ErrorResponse>"),
        ("iam", "GetRole", "<GetRoleResponse><GetRoleResult><Role><RoleName>canary"),
        ("iam", "GetRole", "<GetRoleResponse><GetRoleResult/></GetRoleResponse>canary"),
        ("iam", "GetRole", "<!DOCTYPE x [<!ENTITY a \"canary\">]><GetRoleResponse/>"),
        (
            "iam",
            "GetRole",
            "<GetRoleResponse><GetRoleResult><Role><RoleName>&canary;</RoleName></Role></GetRoleResult></GetRoleResponse>",
        ),
        (
            "ec2",
            "DescribeVolumes",
            "<DescribeVolumesResponse><volumeSet><item><size>canary</size></item></volumeSet></DescribeVolumesResponse>",
        ),
        ("s3", "PutBucketPolicy", "<html><body>canary</body></html>"),
        ("s3", "ListBuckets", "<HTML><body>canary</body></HTML>"),
        ("route53", "GetChange", "canary"),
    ] {
        let error = answer(service, operation, 200, &[], body.as_bytes()).unwrap_err();
        assert_eq!((error.origin, error.class()), (Origin::Garbled, Class::Transient), "{body}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let error = answer("s3", "HeadObject", 200, &[("content-length", "canary")], b"").unwrap_err();
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[test]
fn xml_is_read_as_the_specification_has_it() {
    let role = |inner: &str| {
        let body = format!(
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- a > b --><n:GetRoleResponse xmlns:n='x'><n:GetRoleResult><Role a = \"1>2\" >{inner}</Role >\
             </n:GetRoleResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></n:GetRoleResponse>\n<!-- end -->"
        );
        answer("iam", "GetRole", 200, &[], body.as_bytes()).map(|it| it["Role"].clone())
    };
    let name = |text: &str| role(&format!("<RoleName>{text}</RoleName>")).unwrap()["RoleName"].clone();
    assert_eq!(name("a&amp;b&#33;&#x263A;&lt;&gt;&quot;&apos;"), "a&b!☺<>\"'");
    assert_eq!(name("<![CDATA[<a>&amp;]]>b<!-- c -->d<?pi e?>f"), "<a>&amp;bdf");
    assert_eq!(name("one\r\ntwo\rthree&#13;"), "one\ntwo\nthree\r");
    assert_eq!(name("  kept  "), "  kept  ");
    assert_eq!(name("a<b>c</b>d"), "ad");
    assert_eq!(role("<RoleName/>").unwrap(), json!({ "RoleName": "" }));
    assert_eq!(role("<MaxSessionDuration/>").unwrap(), json!({}));
    assert_eq!(role("<Path>1</Path><Path>2</Path>").unwrap(), json!({ "Path": "1" }));
    assert_eq!(role("<Tags/>").unwrap(), json!({ "Tags": [] }));
    for bad in [
        "&;",
        "&#xD800;",
        "&#x;",
        "&#+1;",
        "&amp",
        "<a b=c/>",
        "<a b/>",
        "<a b='1'c='2'/>",
        "</x>",
        "<>",
        "<a",
        "<!ELEMENT a>",
        "<![CDATA[",
    ] {
        assert!(role(bad).is_err(), "{bad}");
    }
    let deep = |count: usize| role(&format!("{}{}", "<a>".repeat(count), "</a>".repeat(count)));
    assert!(deep(DEPTH - 3).is_ok());
    assert!(deep(DEPTH - 2).unwrap_err().message.contains("too deeply"));
}

#[test]
fn json_that_is_nested_too_deeply_is_refused() {
    let body = format!("{{\"QueueUrl\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(answer("sqs", "GetQueueUrl", 200, &[], body.as_bytes()).unwrap_err().origin, Origin::Garbled);
}
