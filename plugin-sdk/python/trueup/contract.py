"""The records of the contract (`wit/provider.wit`).

In a component they are the classes that componentize-py generates. Anywhere else, so in unit tests, classes of the same
shape are made from the tables below, which also let the double check what a provider answers.
"""

from dataclasses import make_dataclass
from enum import Enum

ENUMS = {
    "Severity": "error warning note",
    "HealthState": "healthy progressing degraded suspended unknown",
    "EditOp": "add remove replace",
    "Action": "create update delete",
    "Coverage": "whole delta unchanged partial",
    "Level": "trace debug info warn error",
}

# `T?`: may be None. `[T]`: a list. `attributes`: a list of pairs of texts.
RECORDS = {
    "Address": "kind:str scope:str key:str",
    "Diagnostic": "severity:Severity code:str summary:str detail:str? path:str?",
    "Failure": "fault:Fault diagnostics:[Diagnostic]",
    "Health": "state:HealthState message:str",
    "Remote": "address:Address identity:str doc:str outputs:str version:str? mark:str? health:Health sensitive:[str]"
    " ext:attributes",
    "Edit": "op:EditOp path:str value:str?",
    "CallInfo": "now:int budget:int trace:str ext:attributes",
    "ScopeQuery": "kind:str scope:str cursor:str? since:str? limit:int wait:int ext:attributes",
    "Gone": "address:Address identity:str?",
    "Snapshot": "objects:[Remote] next:str? version:str? coverage:Coverage gone:[Gone] diagnostics:[Diagnostic] ext:attributes",
    "Lookup": "address:Address identity:str? desired:str? mark:str? token:str? since:str? ext:attributes",
    "Change": "action:Action address:Address token:str attempt:int unsettled:bool mark:str desired:str? prior:Remote?"
    " edits:[Edit] ext:attributes",
    "Pending": "operation:str after:int message:str ext:attributes",
    "Outcome": "settlement:Settlement object:Remote? diagnostics:[Diagnostic] ext:attributes",
    "Declared": "address:Address doc:str ext:attributes",
    "Desired": "address:Address doc:str after:[Address] ext:attributes",
    "Rendered": "objects:[Desired] diagnostics:[Diagnostic]",
    "Candidate": "action:Action address:Address desired:str? object:Remote? edits:[Edit] ext:attributes",
    "Replacement": "paths:[str] create_first:bool reason:str ext:attributes",
    "Discovered": "kinds:str version:str? unchanged:bool complete:bool",
    "Stored": "kind:str schema_version:int identity:str doc:str",
    "Request": "method:str url:str headers:attributes body:bytes? credential:str? timeout:int? until:bytes? ext:attributes",
    "Response": "status:int headers:attributes body:bytes cut:bool",
}

# Cases with what they hold.
VARIANTS = {
    "Fault": "Invalid Unauthorized Denied NotFound Conflict Throttled:int? Transient:int? Unsupported Internal",
    "Observation": "Found:Remote Absent Unchanged Failed:Failure",
    "Settlement": "Settled Pending:Pending Rejected:Failure Unsettled:Failure",
    "Verdict": "Accept Ignore:[str] Replace:Replacement Hold:str Refuse:Failure",
    "HttpError": "Denied:str Unreachable:str Interrupted:str TimedOut TooLarge:int Malformed:str",
    "SecretError": "Denied Missing Unavailable:str",
}


def _generated():
    from componentize_py_types import Err, Ok
    from wit_world.exports import lifecycle, migration, planning, rendering, schemas
    from wit_world.imports import http, log, secrets, types

    known = {"Ok": Ok, "Err": Err}
    for module in (types, lifecycle, migration, planning, rendering, schemas, http, log, secrets):
        for name in vars(module):
            if name.partition("_")[0] in RECORDS | VARIANTS | ENUMS:
                known[name] = getattr(module, name)
    return known


def _made():
    class Err(Exception):
        def __init__(self, value):
            super().__init__(value)
            self.value = value

    known = {"Ok": make_dataclass("Ok", ["value"]), "Err": Err}
    for name, cases in ENUMS.items():
        known[name] = Enum(name, {case.upper(): at for at, case in enumerate(cases.split())})
    for name, fields in RECORDS.items():
        known[name] = make_dataclass(name, [it.partition(":")[0] for it in fields.split()])
    for name, cases in VARIANTS.items():
        for case, _, held in (it.partition(":") for it in cases.split()):
            known[f"{name}_{case}"] = make_dataclass(f"{name}_{case}", ["value"] if held else [])
    return known


try:
    globals().update(_generated())
    IS_COMPONENT = True
except ImportError:
    globals().update(_made())
    IS_COMPONENT = False


def misfit(value, wanted, at="answer"):
    """Where `value` is not what the contract wants, as text; None where it fits. A component would trap there."""
    if wanted.endswith("?"):
        return None if value is None else misfit(value, wanted[:-1], at)
    if wanted == "attributes":
        fits = isinstance(value, list) and all(len(it) == 2 and all(isinstance(part, str) for part in it) for it in value)
        return None if fits else f"{at} is no list of pairs of texts"
    if wanted.startswith("["):
        if not isinstance(value, list):
            return f"{at} is {type(value).__name__}, not list"
        return next(filter(None, (misfit(it, wanted[1:-1], f"{at}[{n}]") for n, it in enumerate(value))), None)
    if wanted in RECORDS:
        if type(value) is not globals()[wanted]:
            return f"{at} is {type(value).__name__}, not {wanted}"
        parts = (it.partition(":") for it in RECORDS[wanted].split())
        return next(filter(None, (misfit(getattr(value, name), kind, f"{at}.{name}") for name, _, kind in parts)), None)
    if wanted in VARIANTS:
        for case, _, held in (it.partition(":") for it in VARIANTS[wanted].split()):
            if type(value) is globals()[f"{wanted}_{case}"]:
                return misfit(value.value, held, f"{at}.{case}") if held else None
        return f"{at} is {type(value).__name__}, no case of {wanted}"
    if wanted in ENUMS:
        return None if type(value) is globals()[wanted] else f"{at} is {type(value).__name__}, not {wanted}"
    plain = {"str": str, "int": int, "bool": bool, "bytes": bytes}[wanted]
    return None if type(value) is plain else f"{at} is {type(value).__name__}, not {wanted}"
