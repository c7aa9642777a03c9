"""Whether tests can run models in bf16 on this machine."""

import os

from exporter import processor


def no_operators() -> str:
    """Why they can't; empty where they can."""
    if not processor.has_bf16():
        return "this processor has no AVX512-BF16"
    if not os.environ.get("EMOFLEET_OPERATORS"):
        return "EMOFLEET_OPERATORS names no library of the worker's operators; worker/tests run them"
    return ""
