#!/usr/bin/env python3
"""Writes endpoints.txt beside this script: where botocore's endpoint rules have each service that models/operations.txt names.

Run it with a Python that has botocore: `python plugins/aws/tests/data/endpoints.py`. A line is: service, region, `f` for FIPS and `d`
for dual stack or `-`, URL and signing region, or `none` where the rules have no endpoint.
"""

import itertools
from pathlib import Path

from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError
from botocore.session import Session

HERE = Path(__file__).resolve().parent
REGIONS = ["ap-southeast-5", "cn-north-1", "cn-northwest-1", "eu-west-1", "us-east-1", "us-gov-east-1", "us-gov-west-1"]


def main():
    loader = Session().get_component("data_loader")
    partitions = loader.load_data("partitions")
    services = {line.split()[0] for line in (HERE.parents[1] / "models/operations.txt").read_text().splitlines()}
    out = []
    for service in sorted(services):
        rules = EndpointProvider(loader.load_service_model(service, "endpoint-rule-set-1"), partitions)
        for region, (fips, dual) in itertools.product(REGIONS, itertools.product((False, True), repeat=2)):
            flags = ("f" if fips else "") + ("d" if dual else "") or "-"
            try:
                found = rules.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual)
            except EndpointProviderError:
                out.append(f"{service} {region} {flags} none")
                continue
            scheme = (found.properties or {}).get("authSchemes", [{}])[0]
            out.append(f"{service} {region} {flags} {found.url} {scheme.get('signingRegion', region)}")
    (HERE / "endpoints.txt").write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
