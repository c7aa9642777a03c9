"""A trained student to `model.onnx` and `model.json`, by the model contract of the architecture."""

import hashlib
import json
import warnings
from pathlib import Path

import onnx
import torch

from .compact import compact
from .labels import CANNOT_PREDICT, LABELS
from .shipped import Calibration, Shipped
from .student import EMBEDDING, Student

VERSION = "2.0.0"
OPSET = 17
ATTRIBUTION = (
    "Made from CREMA-D (Cao et al., ODbL 1.0), EmoDB (Burkhardt et al., CC0), BanglaSER (Das et al., CC BY 4.0), "
    "IndoWaveSentiment (Bustamin et al., CC BY 4.0) and ordinary speech of AISHELL-1 and others (see README.md); "
    "initialised from OpenAI Whisper-base (MIT)."
)


def to_onnx(shipped: Shipped, path: Path) -> None:
    """Float graph with dynamic batch and length."""
    batch = {0: "batch"}
    axes = {
        "waveform": batch | {1: "samples"},
        "lengths": batch,
        "logits": batch,
        "embedding": batch,
        "frames": batch | {1: "frames"},
        "frame_logits": batch | {1: "frames"},
    }
    example = (0.1 * torch.randn(2, 16000), torch.tensor([16000, 12000]))
    with warnings.catch_warnings():
        # The tracing exporter is announced as old; its graphs are small and load everywhere.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            shipped.eval(),
            example,
            str(path),
            input_names=["waveform", "lengths"],
            output_names=["logits", "embedding", "frames", "frame_logits"],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def write(student: Student, calibration: Calibration, out: Path, version: str = VERSION) -> None:
    """`model.float.onnx` (for comparison), `model.onnx` (as shipped) and `model.json` under `out`; the latter gets its
    `alerts` from advise.py."""
    out.mkdir(parents=True, exist_ok=True)
    to_onnx(Shipped(student, calibration), out / "model.float.onnx")
    onnx.save(compact(onnx.load(out / "model.float.onnx")), out / "model.onnx")
    parameters = sum(p.numel() for p in student.parameters())
    (out / "model.json").write_text(
        json.dumps(
            {
                "name": "emofleet-default",
                "version": version,
                "labels": LABELS,
                "sample_rate": 16000,
                "frame_rate": 50,
                "embedding_dim": EMBEDDING,
                "licence": "Apache-2.0",
                "attribution": ATTRIBUTION,
                "sha256": hashlib.sha256((out / "model.onnx").read_bytes()).hexdigest(),
                "cannot_predict": CANNOT_PREDICT,
                "parameters": parameters,
                "temperature": round(calibration.temperature, 4),
            },
            indent=2,
        )
        + "\n"
    )
