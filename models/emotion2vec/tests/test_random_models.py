"""The models that measurements make for themselves."""

import json

import numpy as np
from exporter.runtime import Model
from measure.random_models import random_models


def test_models_with_random_weights_are_made_once_in_each_precision(tmp_path):
    folders = random_models(tmp_path, "narrow")

    assert list(folders) == ["fp32", "int8", "bf16"]
    for precision, folder in folders.items():
        card = json.loads((folder / "model.json").read_text())
        assert (card["name"], card["precision"]) == (f"random_narrow_{precision}", precision)
    waveform = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    assert Model(folders["fp32"] / "model.onnx", 1).embed(waveform).shape == (96,)

    written = (folders["fp32"] / "model.onnx").stat().st_mtime_ns
    assert random_models(tmp_path, "narrow") == folders
    assert (folders["fp32"] / "model.onnx").stat().st_mtime_ns == written, "what is there is kept"
