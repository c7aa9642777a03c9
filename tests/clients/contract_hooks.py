"""Hooks for schemathesis: recordings that can be scored, and identities that exist, in place of made-up ones."""
import os
import re

import schemathesis
from schemathesis.transport.serialization import Binary

AUDIO = open(os.environ["CONTRACT_AUDIO"], "rb").read()
PATHS = {"job_id": os.environ["CONTRACT_JOB"], "call_id": os.environ["CONTRACT_CALL"]}


def is_file(value):
    return isinstance(value, (bytes, str))


@schemathesis.hook
def before_call(context, case, kwargs):
    # What is wrong on purpose stays as it is.
    if case.meta is not None and not case.meta.generation.mode.is_positive:
        return
    body = case.body
    if isinstance(body, dict) and "audio" in body:
        if is_file(body["audio"]):
            body["audio"] = Binary(AUDIO)
        # The names of a form's parts are header text: no control characters, quotes or other bytes.
        case.body = {name: value for name, value in body.items() if re.fullmatch(r"[ -!#-~]+", name)}


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    for name, value in PATHS.items():
        # Half of the generated identities stay: what does not exist is 404.
        if path_parameters and name in path_parameters and hash(str(path_parameters[name])) % 2:
            path_parameters[name] = value
    return path_parameters
