"""model.json: what the worker, the reports and the reader need to know about a model file."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from .architecture import Architecture
from .speech import SAMPLE_RATE

LICENCE = "FunASR Model Licence 1.1 (attribution; not an open-source licence; the weights are not part of emofleet)"
ATTRIBUTION = (
    "emotion2vec+ by Ziyang Ma, Zhisheng Zheng, Jiaxin Ye, Jinchao Li, Zhifu Gao, "
    "Shiliang Zhang and Xie Chen (arXiv:2312.15185); "
    "weights published by the FunASR project under the FunASR Model Licence 1.1, converted to ONNX without training"
)


def write_card(
    model: Path,
    name: str,
    version: str,
    labels: list[str],
    architecture: Architecture,
    parameters: int,
    precision: str,
    weight_bits: int | None = None,
    operators: Sequence[str] = (),
) -> Path:
    """Writes model.json beside the model file. `weight_bits` is for int8; without it, the worker takes them for 7.

    `operators`: the instructions that the worker's own operators in the graph need, if there are any.
    """
    card = {
        "name": name,
        "version": version,
        "labels": labels,
        "sample_rate": SAMPLE_RATE,
        "frame_rate": SAMPLE_RATE // architecture.stride,
        "embedding_dim": architecture.width,
        "licence": LICENCE,
        "attribution": ATTRIBUTION,
        "sha256": sha256(model),
        "parameters": parameters,
        "precision": precision,
    }
    if weight_bits is not None:
        card["weight_bits"] = weight_bits
    if operators:
        card["operators"] = list(operators)
    path = model.with_name("model.json")
    path.write_text(json.dumps(card, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return path


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
