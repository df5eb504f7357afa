#!/usr/bin/env python3
"""Writes the cases of src/protocol/tests/cases.rs beside this script: <service>.json, and errors.json.

Run it with a Python that has botocore and moto: `python plugins/aws/tests/data/protocol/make.py`. Both are implementations of the
protocols that know nothing of ours. A request is an input, invented by walking the model, and what botocore makes of it; an answer is
an invented output as moto writes it, and what botocore reads of that. Equal versions give equal files.

What is invented is awkward on purpose: spaces, signs that have a meaning somewhere, other scripts, empty text, the largest integers.
"""

import base64
import datetime
import itertools
import json
import math
import re
from pathlib import Path
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from botocore import parsers, serialize
from botocore.awsrequest import HeadersDict
from botocore.session import Session
from moto.core.serialize import SerializationContext, get_serializer_class
from moto.core.utils import get_service_model

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[2] / "models"
TEXTS = ["plain", "a b+c&d=e/f?g#h", "ünï ☃ 日本", "  spaces  ", "<x a=\"1\">'&amp;", "100%", "two\nlines\tand", "", "~-._*!()", "{brace}"]
ASCII = ["plain", "a b+c&d=e/f?g", "x, \"y\"", "100%", "~-._*!()"]
LABELS = ["plain", "arn:aws:lambda:eu-west-1:123456789012:function:a b+c", "ünï&=?#", "100%", "a/b"]
INTEGERS = [0, 1, -1, 2147483647]
LONGS = [0, 9007199254740993, -9223372036854775808, 7]
FLOATS = [0.5, 12.25, 3.0, -1.125]
BLOBS = [b"\x00\xff\xfe", b"text", b"", "ü".encode()]
TIMES = [(1577934245, 0), (1577934245, 250000), (951782399, 0)]
# Of EC2's operations those with the most kinds of shapes; all of them would be ten times the rest.
EC2 = """AuthorizeSecurityGroupIngress CreateImage CreateKeyPair CreateLaunchTemplate CreateRoute CreateSecurityGroup CreateSubnet
    CreateTags CreateVolume CreateVpc DeleteTags DescribeImages DescribeInstances DescribeKeyPairs DescribeLaunchTemplateVersions
    DescribeRouteTables DescribeSecurityGroups DescribeSnapshots DescribeSubnets DescribeTags DescribeVolumes DescribeVpcAttribute
    DescribeVpcs ImportKeyPair ModifyInstanceAttribute ModifyVpcAttribute RegisterImage RevokeSecurityGroupEgress RunInstances
    TerminateInstances""".split()
# Neither reads these as they are: botocore has the one in a hook and takes the other for text. See the unit tests.
SPECIAL = {("s3", "GetBucketLocation"), ("s3", "GetObject")}
# Beyond this a case grows and shows nothing new.
DEEPEST = 5


class Inventor:
    """Values of shapes: `rich` with every member, `bare` with what is required, `empty` with nothing in lists and maps."""

    def __init__(self, style, xml, answer):
        self.style, self.answer = style, answer
        self.seen = []
        texts = [it for it in TEXTS if it != "two\nlines\tand"] if answer else TEXTS
        pools = {"text": texts, "ascii": ASCII, "label": LABELS, "int": INTEGERS, "long": LONGS, "float": FLOATS, "blob": BLOBS}
        self.pools = {name: itertools.cycle(pool) for name, pool in {**pools, "time": TIMES, "bool": [True, False]}.items()}

    def next(self, pool):
        return next(self.pools[pool])

    def value(self, shape, depth=0):
        kind, place = shape.type_name, shape.serialization.get("location")
        if kind == "structure":
            return self.structure(shape, depth)
        if kind == "list":
            count = 0 if self.style == "empty" else 2 if depth < 3 else 1
            member = shape.member
            items = [self.ascii() if place == "header" and plain(member) else self.value(member, depth + 1) for _ in range(count)]
            return [it for it in items if it is not None]
        if kind == "map":
            return self.map(shape, place, depth)
        if kind == "timestamp":
            seconds, micros = self.next("time")
            whole = self.answer or place in ("header", "querystring") or shape.serialization.get("timestampFormat") == "rfc822"
            return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).replace(microsecond=0 if whole else micros)
        if kind == "string":
            return self.string(shape, place)
        pools = {"integer": "int", "long": "long", "float": "float", "double": "float", "boolean": "bool", "blob": "blob"}
        return self.next(pools[kind])

    def ascii(self):
        text = self.next("ascii")
        return "item" if self.answer else text

    def string(self, shape, place):
        if shape.enum:
            return shape.enum[len(self.seen) % len(shape.enum)]
        if place == "uri":
            name = shape.serialization.get("name")
            return "some-bucket" if name == "Bucket" else "dir/ü +a&b?.txt" if name == "Key" else self.next("label")
        return self.next("ascii" if place == "header" else "text")

    def map(self, shape, place, depth):
        if self.style == "empty":
            return {}
        if place == "headers":
            return {"one": "a b", "two": "c=d"}
        keys = shape.key.enum[:2] if getattr(shape.key, "enum", None) else ["Key one", "k&é"]
        return {key: self.value(shape.value, depth + 1) for key in sorted(keys)}

    def structure(self, shape, depth):
        if depth > DEEPEST or shape.name in self.seen:
            return None
        self.seen.append(shape.name)
        out = {}
        for name, member in shape.members.items():
            if self.style == "rich" or name in shape.required_members or (self.style == "empty" and depth == 0):
                value = self.value(member, depth + 1)
                if value is not None:
                    out[name] = value
            if out and shape.is_tagged_union:
                break
        self.seen.pop()
        return None if any(name not in out for name in shape.required_members) else out


def plain(shape):
    return shape.type_name == "string" and not shape.enum


def as_input(value):
    """A value as our side is given it: points in time as text in one case and numbers in the next."""
    if isinstance(value, dict):
        return {key: as_input(it) for key, it in value.items()}
    if isinstance(value, list):
        return [as_input(it) for it in value]
    if isinstance(value, datetime.datetime):
        return rfc3339(value) if value.microsecond else int(value.timestamp())
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def as_output(value):
    """A value as our side should read it."""
    if isinstance(value, dict):
        return {key: as_output(it) for key, it in value.items() if key != "ResponseMetadata"}
    if isinstance(value, list):
        return [as_output(it) for it in value]
    if isinstance(value, datetime.datetime):
        return rfc3339(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def rfc3339(time):
    text = time.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds" if time.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def form(pairs):
    return [[key, str(value)] for key, value in pairs]


def request(service, protocol, operation, value):
    serializer = serialize.create_serializer(protocol, include_validation=False)
    made = serializer.serialize_to_request(value, operation)
    path, _, constants = made["url_path"].partition("?")
    query = parse_qsl(constants, keep_blank_values=True)
    for key, values in (made["query_string"] or {}).items():
        query += [(key, it) for it in (values if isinstance(values, list) else [values])]
    want = {"method": made["method"], "path": path, "query": sorted(form(query))}
    want["headers"] = dict(sorted((name.lower(), value) for name, value in made["headers"].items()))
    want |= body(protocol, made["body"], operation)
    return want


def body(protocol, made, operation):
    if protocol in ("query", "ec2"):
        # A fraction is of three digits here, where ours writes no more than it needs.
        return {"form": sorted([key, re.sub(r"^(\S{19}\.\d{3})000Z$", r"\1Z", it)] for key, it in form(made.items()))}
    shape = operation.input_shape
    payload = shape.serialization.get("payload") if shape else None
    if payload and shape.members[payload].type_name in ("blob", "string"):
        return {"raw": base64.b64encode(made if isinstance(made, bytes) else made.encode()).decode()}
    text = made.decode() if isinstance(made, bytes) else made
    if protocol == "rest-xml" and text:
        text = re.sub(r">(\S{19}\.\d{3})000Z<", r">\1Z<", text)
        return {"xml": ElementTree.canonicalize(text)}
    return {"json": json.loads(text)} if text else {"raw": ""}


def answer(name, protocol, operation, model, value):
    """None where moto has no way to write it, or botocore none to read what moto wrote."""
    writer = get_serializer_class(name, protocol)(model.operation_model(operation.name), SerializationContext("req-1"))
    made = writer.serialize(value)
    data = made["body"] if isinstance(made["body"], bytes) else made["body"].encode()
    headers = {key.lower(): str(it) for key, it in made["headers"].items()}
    shape = operation.output_shape
    answer = {"status_code": made["status_code"], "headers": HeadersDict(headers), "body": data, "context": {}}
    want = as_output(parsers.create_parser(protocol).parse(answer, shape))
    out = {"operation": operation.name, "status": made["status_code"], "headers": headers}
    try:
        out["body"] = data.decode()
    except UnicodeDecodeError:
        out["base64"] = base64.b64encode(data).decode()
    return {**out, "want": want}


def cases(name, operations, session):
    protocol = json.loads((MODELS / f"{name}.json").read_text())["protocol"]
    service, model = session.get_service_model(name), get_service_model(name)
    requests, responses, skipped = [], [], []
    for operation in (service.operation_model(it) for it in operations):
        if name == "ec2" and operation.name not in EC2:
            continue
        known = []
        for style in ("rich", "bare", "empty"):
            if name == "ec2" and style == "empty":
                continue
            value = {}
            if operation.input_shape is not None:
                value = Inventor(style, protocol == "rest-xml", False).structure(operation.input_shape, 0) or {}
            if "ChecksumAlgorithm" in value:
                value["ChecksumAlgorithm"] = "SHA256"
            if value in known:
                continue
            known.append(value)
            requests.append({"operation": operation.name, "input": as_input(value), "want": request(name, protocol, operation, value)})
        if operation.output_shape is None or (name, operation.name) in SPECIAL:
            continue
        for style in ("rich", "empty"):
            value = Inventor(style, protocol == "rest-xml", True).structure(operation.output_shape, 0)
            try:
                responses.append(answer(name, protocol, operation, model, value))
            except Exception as error:
                skipped.append(f"{operation.name} {style}: {type(error).__name__}: {str(error)[:80]}")
    return {"requests": requests, "responses": responses}, skipped


QUERY = "<ErrorResponse xmlns='x'><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
EC2_ERROR = "<?xml version='1.0'?><Response><Errors><Error><Code>{}</Code><Message>{}</Message></Error></Errors><RequestID>r-1</RequestID></Response>"
S3_ERROR = "<?xml version='1.0'?>\n<Error><Code>{}</Code><Message>{}</Message><Resource>/b</Resource><RequestId>r-1</RequestId></Error>"
ERRORS = [
    ("sqs", "GetQueueUrl", 400, {"x-amzn-requestid": "r-1"}, '{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no ü"}'),
    ("kms", "DescribeKey", 400, {}, '{"__type":"NotFoundException","message":"Key \'x\' does not exist"}'),
    ("dynamodb", "DescribeTable", 400, {}, '{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"m"}'),
    ("logs", "CreateLogGroup", 400, {}, '{"__type":"ResourceAlreadyExistsException","Message":"capital"}'),
    ("ssm", "PutParameter", 400, {}, '{"__type":"ValidationException:http://internal.amazon.com/coral/x/"}'),
    ("lambda", "GetFunction", 404, {"x-amzn-errortype": "ResourceNotFoundException:http://internal.amazon.com/coral/x/"}, '{"Type":"User","Message":"gone"}'),
    ("eks", "DescribeCluster", 404, {"x-amzn-errortype": "ResourceNotFoundException"}, '{"clusterName":"x","message":"No cluster found"}'),
    ("lambda", "GetFunction", 400, {}, '{"code":"SomeException","message":"in the body"}'),
    ("iam", "GetRole", 404, {}, QUERY.format("NoSuchEntity", "a &amp; b")),
    ("sns", "CreateTopic", 400, {}, QUERY.format("InvalidParameter", "Invalid parameter: &lt;Name&gt; &#x2603;")),
    ("autoscaling", "CreateAutoScalingGroup", 400, {}, QUERY.format("ValidationError", "<![CDATA[a < b]]>")),
    ("cloudwatch", "PutMetricAlarm", 400, {}, QUERY.format("LimitExceeded", "many")),
    ("ec2", "DeleteVpc", 400, {}, EC2_ERROR.format("DependencyViolation", "The vpc 'vpc-1' has dependencies")),
    ("ec2", "RunInstances", 503, {}, EC2_ERROR.format("RequestLimitExceeded", "Request limit exceeded.")),
    ("s3", "GetBucketPolicy", 404, {"x-amz-request-id": "r-1"}, S3_ERROR.format("NoSuchBucketPolicy", "The bucket policy does not exist")),
    ("route53", "GetHostedZone", 404, {}, QUERY.format("NoSuchHostedZone", "No hosted zone found with ID: Z1")),
]


def errors(session):
    out = []
    for service, operation, status, headers, text in ERRORS:
        protocol = json.loads((MODELS / f"{service}.json").read_text())["protocol"]
        answer = {"status_code": status, "headers": HeadersDict(headers), "body": text.encode(), "context": {}}
        read = parsers.create_parser(protocol).parse(answer, session.get_service_model(service).operation_model(operation).output_shape)
        want = {"code": read["Error"]["Code"], "message": read["Error"].get("Message", "")}
        want["request_id"] = read.get("ResponseMetadata", {}).get("RequestId")
        out.append({"service": service, "operation": operation, "status": status, "headers": headers, "body": text, "want": want})
    return out


def lines(values):
    return "[\n" + ",\n".join(json.dumps(it, ensure_ascii=False, separators=(",", ":")) for it in values) + "\n]"


def main():
    session, wanted = Session(), {}
    for line in (MODELS / "operations.txt").read_text().splitlines():
        service, operation = line.split()
        wanted.setdefault(service, []).append(operation)
    for name, operations in wanted.items():
        made, skipped = cases(name, operations, session)
        text = f'{{"requests":{lines(made["requests"])},\n"responses":{lines(made["responses"])}}}\n'
        (HERE / f"{name}.json").write_text(text)
        print(name, len(made["requests"]), len(made["responses"]), len(text), *skipped, sep="\n  ")
    (HERE / "errors.json").write_text(lines(errors(session)) + "\n")


if __name__ == "__main__":
    main()
