"""The models that the worker's tests load: worker/tests/models, small enough to be committed.

`python -m worker_models` in this folder (with the exporter's environment) writes them anew: the real architecture, as
narrow as can be, in each form, with random weights, and FunASR's own answers to sounds that any language can make.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import random_checkpoint
from exporter.architecture import read_architecture
from exporter.card import write_card
from exporter.checkpoint import Weights, locate, read_config
from exporter.labels import read_labels
from exporter.network import write_network
from exporter.processor import Int8Form, own_instructions
from exporter.reference import Reference

FOLDER = Path(__file__).resolve().parents[3] / "worker" / "tests" / "models"
SIZE = random_checkpoint.Size(width=32, heads=4, channels=16, position_groups=16, prenet_depth=1, depth=1)
# Folder: precision and form.
MODELS = {
    "fp32": ("fp32", None),
    "int8": ("int8", Int8Form(7)),
    "int8_operators": ("int8", Int8Form(8, own_operators=True)),
    "bf16": ("bf16", None),
}
# The shortest input, one more frame, and lengths that a batch has to pad.
LENGTHS = [400, 721, 16_000, 40_000]


def sound(samples: int) -> np.ndarray:
    """Noise from a 32-bit linear congruential generator, swelling and fading 8 times a second; f32 [samples]."""
    state, values = samples, np.empty(samples)
    for index in range(samples):
        state = (state * 1_664_525 + 1_013_904_223) % 2**32
        values[index] = (state >> 16) / 32_768 - 1
    swell = np.abs(np.arange(samples) % 2000 - 1000) / 1000
    return (0.5 * values * swell).astype(np.float32)


def write(folder: Path) -> None:
    """Writes a model folder for each form and `funasr.json` into `folder`."""
    with tempfile.TemporaryDirectory() as root:
        files = locate(random_checkpoint.build(Path(root) / "narrow", SIZE))
        config = read_config(files)
        architecture = read_architecture(config)
        labels = read_labels(files.tokens)
        for name, (precision, form) in MODELS.items():
            weights = Weights(files.weights, config["scope_map"])
            model = folder / name / "model.onnx"
            model.parent.mkdir(parents=True, exist_ok=True)
            model.write_bytes(write_network(architecture, weights, len(labels), precision, form).SerializeToString())
            # 7 bits are not written down: without the key, the worker takes them for 7.
            bits = form.bits if form and form.own_operators else None
            parameters, operators = weights.taken(), own_instructions(precision, form)
            write_card(model, f"narrow_{name}", "1", labels, architecture, parameters, precision, bits, operators)
        reference = Reference(files.folder, threads=1)
        answers = {samples: reference.answer(sound(samples)) for samples in LENGTHS}
    described = [
        {"samples": samples, "scores": answer.scores.tolist(), "embedding": answer.embedding.tolist()}
        for samples, answer in answers.items()
    ]
    (folder / "funasr.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(FOLDER)
