//! Nothing that comes over the wire makes the reader panic, whatever it is.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;

/// Bodies that begin as answers do.
fn bodies() -> &'static [(&'static str, &'static str, String)] {
    static BODIES: OnceLock<Vec<(&str, &str, String)>> = OnceLock::new();
    BODIES.get_or_init(collect)
}

fn collect() -> Vec<(&'static str, &'static str, String)> {
    let mut out = Vec::new();
    for name in ["ec2", "iam", "lambda", "route53", "s3", "sqs", "dynamodb", "sns"] {
        for case in cases::cases(name)["responses"].as_array().unwrap() {
            let operation = cases::operation(model::service(name).unwrap(), case);
            let body = case["body"].as_str().unwrap();
            if body.len() < 4000 {
                out.push((name, operation.name, body.to_owned()));
            }
        }
    }
    out
}

fn status() -> impl Strategy<Value = u16> {
    prop_oneof![Just(200_u16), Just(400), Just(503), 100_u16..600]
}

/// What markup and JSON are made of.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "<",
        ">",
        "</",
        "/>",
        "<?",
        "?>",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<!",
        "&",
        ";",
        "&#x",
        "=",
        "\"",
        "'",
        " ",
        "\r",
        "a",
        "é",
        "Error",
        "Code",
        "Response",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "1e9",
        "-",
        "null",
        "member",
        "\u{0}",
        "\u{feff}",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|it| it.concat())
}

fn read(service: &str, operation: &str, status: u16, body: &[u8]) {
    let headers = [("x-amzn-errortype", "a#b:c"), ("retry-after", "1"), ("content-length", "2")];
    if let Err(refusal) = answer(service, operation, status, &headers, body) {
        assert!(refusal.message.len() <= 2000 && refusal.code.len() <= 100);
        let _ = (refusal.class(), refusal.to_string());
    }
}

const ASKED: [(&str, &str); 6] = [
    ("ec2", "DescribeInstances"),
    ("iam", "GetRole"),
    ("route53", "ListResourceRecordSets"),
    ("s3", "GetBucketLifecycleConfiguration"),
    ("sqs", "GetQueueAttributes"),
    ("lambda", "GetFunction"),
];

#[test]
fn an_answer_that_is_cut_off_anywhere_is_read_or_refused() {
    for (service, operation, body) in bodies() {
        let step = (body.len() / 60).max(1);
        for end in (0..body.len()).step_by(step) {
            read(service, operation, 200, &body.as_bytes()[..end]);
            read(service, operation, 500, &body.as_bytes()[..end]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes_are_read_or_refused(status in status(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        ASKED.iter().for_each(|(service, operation)| read(service, operation, status, &bytes));
    }

    #[test]
    fn any_soup_is_read_or_refused(status in status(), text in soup()) {
        ASKED.iter().for_each(|(service, operation)| read(service, operation, status, text.as_bytes()));
    }

    #[test]
    fn an_answer_with_wrong_bytes_in_it_is_read_or_refused(at in any::<prop::sample::Index>(), wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let bodies = bodies();
        let (service, operation, body) = at.get(bodies);
        let mut bytes = body.clone().into_bytes();
        prop_assume!(!bytes.is_empty());
        for (at, byte) in wrong {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read(service, operation, 200, &bytes);
    }
}
