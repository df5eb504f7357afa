#!/usr/bin/env python3
"""Writes <service>.json beside this script: what the wire layer has to know of each service.

Run it with a Python that has botocore: `python plugins/aws/models/update.py`. It reads the service definitions of that botocore,
takes the operations that operations.txt names (one `service Operation` a line; sorted anew by each run) and the shapes that these
reach, and keeps names and types only: nothing of the documentation, no code. Equal inputs give equal files.

A file is one JSON object, read by src/model/read.rs:

  facts of the service   name, id, protocol, json (version), target, version, endpoint, signing, namespace, global, compatible
  operations             name -> {http: "METHOD uri", in, out (references), wrap, page, host, checksum, unwrapped}
  shapes                 name -> {member: reference, …} | ["list", reference] | ["map", key, value] | ["enum", value, …]

A reference is one string: a type, then words in any order.

  type    s string, i integer, l long, f float, d double, b boolean, x blob, t timestamp; else the name of a shape
  words   NAME wire name, where it differs; q=NAME queryName of EC2; t=FORMAT of a timestamp; x=URI or x=PREFIX=URI XML namespace;
          @h header, @m headers by prefix, @q query, @u path, @s status, @b body (payload);
          ! required, * sensitive, ~ flattened, ^ XML attribute, $ streaming, # idempotency token, % host label
"""

import json
from pathlib import Path

from botocore.session import Session

HERE = Path(__file__).resolve().parent
# What the services and moto both speak, best first; CBOR would be a second parser for nothing.
PROTOCOLS = ["json", "rest-json", "rest-xml", "query", "ec2"]
# moto 5.2.5 knows only this of what the service offers.
SPOKEN = {"cloudwatch": "query"}
SCALARS = {
    "string": "s", "character": "s", "integer": "i", "long": "l", "float": "f", "double": "d", "boolean": "b", "blob": "x",
    "timestamp": "t",
}
PLACES = {"header": "@h", "headers": "@m", "querystring": "@q", "uri": "@u", "statusCode": "@s"}
FLAGS = {
    "sensitive": "*", "flattened": "~", "xmlAttribute": "^", "streaming": "$", "idempotencyToken": "#", "hostLabel": "%",
}
# A list of values this long (EC2's instance types) grows every week: a copy of it would refuse what is new.
LONGEST_ENUM = 200
# Answers whose root element is the one member, with no element around it (Smithy's trait s3UnwrappedXmlOutput).
UNWRAPPED = {("s3", "GetBucketLocation")}


class Writer:
    def __init__(self, name, loader):
        self.name = name
        self.raw = loader.load_service_model(name, "service-2")
        try:
            self.pages = loader.load_service_model(name, "paginators-1")["pagination"]
        except Exception as error:  # A service without pages has no file; any other failure is one.
            if type(error).__name__ != "UnknownServiceError" and type(error).__name__ != "DataNotFoundError":
                raise
            self.pages = {}
        self.shapes = {}

    def service(self, operations):
        meta = self.raw["metadata"]
        offered = meta.get("protocols", [meta["protocol"]])
        protocol = SPOKEN.get(self.name) or next(it for it in PROTOCOLS if it in offered)
        assert protocol in offered, (self.name, protocol)
        out = {"name": self.name, "id": meta["serviceId"], "protocol": protocol, "version": meta["apiVersion"]}
        out["endpoint"] = meta["endpointPrefix"]
        out["signing"] = meta.get("signingName", meta["endpointPrefix"])
        if protocol == "json":
            out["json"], out["target"] = meta["jsonVersion"], meta["targetPrefix"]
            if "awsQueryCompatible" in meta:
                out["compatible"] = True
        if protocol in ("query", "ec2", "rest-xml") and "xmlNamespace" in meta:
            out["namespace"] = meta["xmlNamespace"]
        if "globalEndpoint" in meta:
            out["global"] = meta["globalEndpoint"]
        out["operations"] = {name: self.operation(name) for name in operations}
        out["shapes"] = dict(sorted(self.shapes.items()))
        return out

    def operation(self, name):
        raw = self.raw["operations"][name]
        out = {"http": f"{raw['http']['method']} {raw['http']['requestUri']}"}
        for key, word in (("input", "in"), ("output", "out")):
            if key in raw:
                out[word] = self.reference(raw[key], None, False)
        if "resultWrapper" in raw.get("output", {}):
            out["wrap"] = raw["output"]["resultWrapper"]
        if name in self.pages:
            out["page"] = page(self.pages[name])
        if "hostPrefix" in raw.get("endpoint", {}):
            out["host"] = raw["endpoint"]["hostPrefix"]
        if raw.get("httpChecksumRequired") or raw.get("httpChecksum", {}).get("requestChecksumRequired"):
            out["checksum"] = True
        if (self.name, name) in UNWRAPPED:
            out["unwrapped"] = True
        return out

    def reference(self, ref, name, required, payload=False):
        """The shape's own facts, and over them those of the place where it is named."""
        shape = self.raw["shapes"][ref["shape"]]
        facts = {**shape, **{key: value for key, value in ref.items() if key != "shape"}}
        kind = shape["type"]
        named = kind not in SCALARS or 0 < len(shape.get("enum", [])) <= LONGEST_ENUM
        words = [ref["shape"] if named else SCALARS[kind]]
        assert not named or words[0] not in SCALARS.values(), words
        wire = facts.get("locationName")
        if wire and wire != name:
            words.append(wire)
        if facts.get("queryName"):
            words.append("q=" + facts["queryName"])
        if kind == "timestamp" and facts.get("timestampFormat"):
            words.append("t=" + facts["timestampFormat"].lower())
        if facts.get("xmlNamespace"):
            words.append("x=" + namespace(facts["xmlNamespace"]))
        if facts.get("location"):
            words.append(PLACES[facts["location"]])
        if payload:
            words.append("@b")
        flags = "!" if required else ""
        flags += "".join(sign for key, sign in FLAGS.items() if facts.get(key))
        if flags:
            words.append(flags)
        assert not facts.get("jsonvalue") and not facts.get("eventstream") and not facts.get("document"), (self.name, ref)
        assert all(it and " " not in it for it in words), words
        if named:
            self.shape(ref["shape"], shape)
        return " ".join(words)

    def shape(self, name, raw):
        if name in self.shapes:
            return
        self.shapes[name] = None  # Taken: shapes may hold themselves.
        if raw["type"] == "structure":
            must, body = raw.get("required", []), raw.get("payload")
            members = raw.get("members", {}).items()
            self.shapes[name] = {key: self.reference(ref, key, key in must, key == body) for key, ref in members}
        elif raw["type"] == "list":
            self.shapes[name] = ["list", self.reference(raw["member"], None, False)]
        elif raw["type"] == "map":
            self.shapes[name] = ["map", self.reference(raw["key"], None, False), self.reference(raw["value"], None, False)]
        else:
            self.shapes[name] = ["enum", *raw["enum"]]


def page(raw):
    """Tokens and results as lists, since a few operations have several."""
    many = lambda value: value if isinstance(value, list) else [value]
    out = {"in": many(raw["input_token"]), "out": many(raw["output_token"]), "result": many(raw["result_key"])}
    for key, word in (("limit_key", "limit"), ("more_results", "more")):
        if key in raw:
            out[word] = raw[key]
    return out


def namespace(raw):
    if isinstance(raw, str):
        return raw
    return f"{raw['prefix']}={raw['uri']}" if raw.get("prefix") else raw["uri"]


def text(value):
    """One line for each operation and each shape, so that a change shows where it is."""
    dump = lambda it: json.dumps(it, separators=(",", ":"), ensure_ascii=False)
    blocks = []
    for key, inner in value.items():
        if key in ("operations", "shapes"):
            lines = ",\n".join(f"{dump(name)}:{dump(it)}" for name, it in inner.items())
            blocks.append(f"{dump(key)}:{{\n{lines}\n}}")
        else:
            blocks.append(f"{dump(key)}:{dump(inner)}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main():
    listed = HERE / "operations.txt"
    lines = sorted({" ".join(line.split()) for line in listed.read_text().splitlines() if line.strip()})
    listed.write_text("\n".join(lines) + "\n")
    wanted = {}
    for line in lines:
        service, operation = line.split(" ")
        wanted.setdefault(service, []).append(operation)
    loader = Session().get_component("data_loader")
    total = 0
    for name, operations in wanted.items():
        out = text(Writer(name, loader).service(operations))
        # The reader borrows each string from the text, which an escape would forbid.
        assert "\\" not in out, name
        (HERE / f"{name}.json").write_text(out)
        total += len(out.encode())
        print(f"{name}: {len(operations)} operations, {len(out.encode())} bytes")
    print(f"total: {total} bytes")


if __name__ == "__main__":
    main()
