"""The bf16 form: its operators and weights, what it refuses, and, where it can run, its closeness to fp32."""

import json

import ml_dtypes
import numpy as np
import onnx
import pytest
import random_checkpoint
from bf16_here import no_operators
from exporter import export, operators, processor
from exporter.architecture import read_architecture
from exporter.bf16 import PAIR
from exporter.checkpoint import Weights, locate, read_config
from exporter.network import write_network
from exporter.panels import PANEL, panels
from exporter.runtime import Model
from exporter.speech import read, synthesise


def test_weights_are_rounded_and_laid_out_in_panels():
    weight = np.random.default_rng(0).normal(size=(7, 45)).astype(np.float32)

    packed = panels(weight.astype(ml_dtypes.bfloat16), PAIR)

    assert packed.shape == (2, 4, PANEL, 2)
    whole = packed.astype(np.float32).transpose(1, 3, 0, 2).reshape(8, 2 * PANEL)
    np.testing.assert_array_equal(whole[:7, :45], weight.astype(ml_dtypes.bfloat16).astype(np.float32))
    assert not whole[7:].any()
    assert not whole[:, 45:].any()


def test_layers_and_attention_are_the_workers_operators_and_the_rest_is_onnx_runtimes(checkpoint):
    files = locate(checkpoint)
    config = read_config(files)
    architecture = read_architecture(config)

    model = write_network(architecture, Weights(files.weights, config["scope_map"]), 9, "bf16")

    graphs = [
        model.graph,
        *(attribute.g for node in model.graph.node for attribute in node.attribute if attribute.HasField("g")),
    ]
    ours = [node.op_type for graph in graphs for node in graph.node if node.domain == "emofleet"]
    assert set(ours) == {"Bf16Linear", "Bf16Attention", "Bf16Convolution", "NormGelu"}
    assert ours.count("Bf16Convolution") == architecture.position_layers
    assert ours.count("NormGelu") == architecture.position_layers + len(architecture.convolutions)
    assert ours.count("Bf16Attention") == architecture.blocks
    # Query, key, value, output and two of the feed-forward layer; all convolutions but the first.
    assert ours.count("Bf16Linear") == 6 * architecture.blocks + len(architecture.convolutions) - 1
    assert {opset.domain for opset in model.opset_import} == {"", "com.microsoft", "emofleet"}
    # The worker's operators write outputs whose dimensions ONNX Runtime can't ask for.
    for body in graphs[1:]:
        assert all(len(output.type.tensor_type.shape.dim) == 2 for output in body.output)


def refused(checkpoint, tmp_path, capsys) -> str:
    speech = synthesise(tmp_path, [0.7])
    out = tmp_path / "out"
    arguments = [str(checkpoint), "--out", str(out), "--threads", "1", "--bf16"]
    assert export.main([*arguments, "--check-audio", *map(str, speech)]) == 1
    assert not (out / "model.onnx").exists(), "refused before the long work"
    return capsys.readouterr().err


def test_bf16_is_refused_on_a_processor_without_it(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(processor, "has_bf16", lambda: False)

    sentence = refused(checkpoint, tmp_path, capsys)

    assert "avx512_bf16" in sentence
    assert "Take fp32 or int8" in sentence


def test_bf16_is_refused_where_it_can_not_be_measured(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(processor, "has_bf16", lambda: True)
    monkeypatch.delenv("EMOFLEET_OPERATORS", raising=False)
    monkeypatch.setattr(operators.shutil, "which", lambda _: None)
    assert "EMOFLEET_OPERATORS" in refused(checkpoint, tmp_path, capsys)

    monkeypatch.setenv("EMOFLEET_OPERATORS", str(tmp_path / "nothing.so"))
    assert "unset it to have it built" in refused(checkpoint, tmp_path, capsys)


@pytest.mark.parametrize("size", ["NARROW", "NARROW_POWER_OF_TWO"])
def test_bf16_comes_with_its_table_and_stays_close_to_fp32(size, tmp_path, capsys):
    if why := no_operators():
        pytest.skip(why)
    checkpoint = random_checkpoint.build(tmp_path / "checkpoint", getattr(random_checkpoint, size))
    # The longest has keys that are too far away to have a weight.
    speech, out = synthesise(tmp_path, [0.025, 0.7, 2.6, 12.0], seed=5), tmp_path / "out"

    arguments = [str(checkpoint), "--out", str(out), "--threads", "1", "--bf16"]
    assert export.main([*arguments, "--check-audio", *map(str, speech)]) == 0

    table = (out / "bf16" / "comparison.md").read_text()
    assert table in capsys.readouterr().out
    assert "| bf16 |" in table
    card = json.loads((out / "bf16" / "model.json").read_text())
    assert (card["precision"], card["operators"]) == ("bf16", ["avx512_bf16"])
    whole, small = Model(out / "model.onnx", 1), Model(out / "bf16" / "model.onnx", 1, operators=operators.library())
    waveforms = [read(path).waveform for path in speech]
    for waveform in waveforms:
        exact, rounded = whole.run([waveform]), small.run([waveform])
        for name in ("embedding", "frames"):
            ours, theirs = getattr(rounded, name), getattr(exact, name)
            error = np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
            assert 1e-4 < error < 0.02, f"{name}: {error}"
    batch, single = small.run(waveforms), small.run(waveforms[1:2])
    np.testing.assert_allclose(batch.embedding[1], single.embedding[0], atol=0.02)


def test_onnx_runtime_alone_does_not_load_it(checkpoint, tmp_path):
    files = locate(checkpoint)
    config = read_config(files)
    path = tmp_path / "model.onnx"
    onnx.save(write_network(read_architecture(config), Weights(files.weights, config["scope_map"]), 9, "bf16"), path)

    with pytest.raises(Exception, match="emofleet"):
        Model(path, 1)
