"""The folder that an export leaves: contract, card, and no training weights."""

import hashlib
import json

import onnx
import torch
from exporter.labels import EMOTIONS


def test_the_graph_has_the_contracts_inputs_and_outputs(exported):
    session = exported.model.session
    width = json.loads((exported.folder / "model.json").read_text())["embedding_dim"]

    assert {value.name: value.type for value in session.get_inputs()} == {
        "waveform": "tensor(float)",
        "lengths": "tensor(int64)",
    }
    assert {value.name: value.shape[-1] for value in session.get_outputs()} == {
        "logits": 9,
        "embedding": width,
        "frames": width,
        "frame_logits": 9,
    }


def test_the_card_describes_the_file_beside_it(exported):
    card = json.loads((exported.folder / "model.json").read_text(encoding="utf-8"))

    assert card["labels"] == list(EMOTIONS)
    assert card["sha256"] == hashlib.sha256((exported.folder / "model.onnx").read_bytes()).hexdigest()
    assert (card["sample_rate"], card["frame_rate"], card["precision"]) == (16_000, 50, "fp32")
    assert card["name"] == exported.checkpoint.name
    assert "FunASR Model Licence" in card["licence"]


def test_only_inference_weights_are_in_the_file(exported):
    card = json.loads((exported.folder / "model.json").read_text(encoding="utf-8"))
    stored = torch.load(exported.checkpoint / "model.pt", weights_only=True)["model"]
    inference = {name: value for name, value in stored.items() if "decoder" not in name and not name.startswith("_ema")}

    assert (
        card["parameters"]
        == sum(value.numel() for value in inference.values())
        < sum(value.numel() for value in stored.values())
    )
    graph = onnx.load(exported.folder / "model.onnx").graph
    held = sum(len(initializer.raw_data) for initializer in graph.initializer) / 4
    # Besides the parameters only shapes, positions, and the padding columns of the linear layers.
    assert card["parameters"] <= held < 1.4 * card["parameters"]
