"""The tests' own view of the cloud: calls of an independent client, one a line.

Reads JSON lines {"service", "operation", "input", "account", "region", "all"} and answers each with one line, {"answer"} or
{"error": {"code", "message", "status"}}. Ends with its input, so that it does not outlive who started it.

The account goes in a header that moto knows, not in credentials: one client a service and region does for all accounts, as a client
costs much more than a call. `all` reads every page. Bytes come and go as text where they are UTF-8, else as {"$base64": …}.
"""
import base64, datetime, json, sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# Nothing of the user's own is looked at, and nothing is tried again: a test wants the first answer.
CONFIG = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, parameter_validation=True, max_pool_connections=4)


class Caller:
    def __init__(self, endpoint):
        self.endpoint, self.clients, self.account = endpoint, {}, None
        # A session is where models of services are kept once they are read.
        self.session = boto3.session.Session(aws_access_key_id="AKIAFOREIGNHANDOFTST", aws_secret_access_key="secret", region_name="us-east-1")

    def client(self, service, region):
        key = (service, region)
        if key not in self.clients:
            made = self.session.client(service, region_name=region, endpoint_url=self.endpoint, config=CONFIG)
            made.meta.events.register("before-call.*", self.name_account)
            self.clients[key] = made
        return self.clients[key]

    def name_account(self, params, **_):
        params["headers"]["x-moto-account-id"] = self.account

    def call(self, asked):
        self.account = asked["account"]
        client = self.client(asked["service"], asked["region"])
        given = decoded(asked.get("input") or {})
        if asked.get("all"):
            answer = client.get_paginator(asked["operation"]).paginate(**given).build_full_result()
        else:
            answer = getattr(client, asked["operation"])(**given)
        answer.pop("ResponseMetadata", None)
        return encoded(answer)


def decoded(value):
    if isinstance(value, dict):
        if set(value) == {"$base64"}:
            return base64.b64decode(value["$base64"])
        return {key: decoded(it) for key, it in value.items()}
    return [decoded(it) for it in value] if isinstance(value, list) else value


def encoded(value):
    if isinstance(value, dict):
        return {str(key): encoded(it) for key, it in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [encoded(it) for it in value]
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if hasattr(value, "read"):
        value = value.read()
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return {"$base64": base64.b64encode(value).decode()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def main():
    caller = Caller(sys.argv[1])
    for line in sys.stdin:
        try:
            answer = {"answer": caller.call(json.loads(line))}
        except ClientError as error:
            told = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            answer = {"error": {"code": str(told.get("Code", "")), "message": str(told.get("Message", "")), "status": status}}
        except Exception as error:  # What is wrong with the call is the test's to show, in the test's own words.
            answer = {"error": {"code": type(error).__name__, "message": str(error), "status": None}}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
