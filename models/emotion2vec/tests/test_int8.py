"""The int8 form: the same contract, close to fp32, and offered only with a table on real speech."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import random_checkpoint
from exporter import processor
from exporter.architecture import read_architecture
from exporter.checkpoint import Weights, locate, read_config
from exporter.export import main
from exporter.network import write_network
from exporter.runtime import Model
from exporter.speech import read, synthesise


def test_int8_comes_with_its_table_and_stays_close_to_fp32(checkpoint, tmp_path, capsys):
    speech = synthesise(tmp_path, [0.7, 1.3, 1.9, 2.6], seed=5)
    random_checkpoint.spread_head(checkpoint, [read(path).waveform for path in speech], threads=1, gain=0.5)
    out = tmp_path / "out"

    assert (
        main([str(checkpoint), "--out", str(out), "--threads", "1", "--int8", "--check-audio", *map(str, speech)]) == 0
    )

    table = (out / "int8" / "comparison.md").read_text()
    assert table in capsys.readouterr().out
    assert all(f"| {name} |" in table for name in ("FunASR", "fp32", "int8"))
    assert json.loads((out / "int8" / "model.json").read_text())["precision"] == "int8"
    graph = onnx.load(out / "int8" / "model.onnx").graph
    bodies = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    assert "MatMulIntegerToFloat" in {node.op_type for body in bodies for node in body.node}
    whole, small = Model(out / "model.onnx", 1), Model(out / "int8" / "model.onnx", 1)
    for path in speech:
        waveform = read(path).waveform
        exact, quantised = whole.run([waveform]), small.run([waveform])
        # Cosine, because a random network has no typical size of features.
        cosine = (
            (exact.embedding @ quantised.embedding.T)
            / np.linalg.norm(exact.embedding)
            / np.linalg.norm(quantised.embedding)
        )
        assert cosine > 0.99
        assert not np.array_equal(exact.logits, quantised.logits)


def test_int8_without_real_speech_is_refused(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("EMOFLEET_DATA", raising=False)

    assert main([str(checkpoint), "--out", str(tmp_path / "out"), "--int8"]) == 1

    assert "needs real speech" in capsys.readouterr().err


def integers(model: Path) -> np.ndarray:
    """All quantised weights of a graph."""
    weights = [onnx.numpy_helper.to_array(value) for value in onnx.load(model).graph.initializer]
    return np.concatenate([values.ravel() for values in weights if values.dtype == np.int8]).astype(int)


@pytest.mark.parametrize(
    ("exact", "asked", "bits"),
    [(True, [], 8), (False, [], 7), (False, ["--int8-bits", "auto"], 7), (True, ["--int8-bits", "7"], 7)],
)
def test_weights_have_the_bits_that_the_processor_can_add(
    checkpoint, tmp_path, capsys, monkeypatch, exact, asked, bits
):
    monkeypatch.setattr(processor, "adds_exactly", lambda: exact)
    speech, out = synthesise(tmp_path, [0.7]), tmp_path / "out"

    arguments = [str(checkpoint), "--out", str(out), "--threads", "1", "--int8", *asked]
    assert main([*arguments, "--check-audio", *map(str, speech)]) == 0

    printed = capsys.readouterr().out
    assert f"int8 with {bits}-bit weights" in printed
    assert f"int8: {bits}-bit weights." in printed
    assert f"int8: {bits}-bit weights." in (out / "int8" / "comparison.md").read_text()
    assert json.loads((out / "int8" / "model.json").read_text())["weight_bits"] == bits
    assert "weight_bits" not in json.loads((out / "model.json").read_text())
    assert np.abs(integers(out / "int8" / "model.onnx")).max() == 2 ** (bits - 1) - 1


@pytest.mark.skipif(not processor.adds_exactly(), reason="8-bit weights need a processor with VNNI, this one has none")
def test_8_bits_are_clearly_closer_to_fp32_than_7(tmp_path):
    speech = [read(path).waveform for path in synthesise(tmp_path, [0.7, 1.3, 1.9, 2.6], seed=5)]
    errors = {7: [], 8: []}
    for seed in range(3):
        files = locate(random_checkpoint.build(tmp_path / str(seed), random_checkpoint.NARROW, seed=seed))
        config = read_config(files)

        def embeddings(precision: str, bits: int, files=files, config=config) -> np.ndarray:
            weights = Weights(files.weights, config["scope_map"])
            path = tmp_path / f"{precision}_{bits}.onnx"
            network = write_network(read_architecture(config), weights, 9, precision, bits)
            path.write_bytes(network.SerializeToString())
            return np.array([Model(path, 1).run([waveform]).embedding[0] for waveform in speech])

        exact = embeddings("fp32", 7)
        for bits, found in errors.items():
            gap = np.linalg.norm(embeddings("int8", bits) - exact, axis=1) / np.linalg.norm(exact, axis=1)
            found.append(gap.mean())

    # One more bit halves the weights' part; that of the activations, which have 8 bits in both, stays.
    assert np.mean(errors[8]) < 0.75 * np.mean(errors[7]), errors


@pytest.mark.parametrize("wrong", ["6", "9", "eight", ""])
def test_other_numbers_of_bits_are_refused(checkpoint, tmp_path, capsys, wrong):
    with pytest.raises(SystemExit):
        main([str(checkpoint), "--out", str(tmp_path / "out"), "--int8", "--int8-bits", wrong])

    sentence = capsys.readouterr().err
    assert "--int8-bits: invalid choice" in sentence
    assert all(choice in sentence for choice in ("auto", "7", "8"))


def test_bits_without_int8_are_refused(checkpoint, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(checkpoint), "--out", str(tmp_path / "out"), "--int8-bits", "8"])

    assert "add --int8" in capsys.readouterr().err


def test_8_bits_are_refused_where_they_would_saturate(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(processor, "adds_exactly", lambda: False)
    speech = synthesise(tmp_path, [0.7])

    arguments = [str(checkpoint), "--out", str(tmp_path / "out"), "--int8", "--int8-bits", "8"]
    assert main([*arguments, "--check-audio", *map(str, speech)]) == 1

    refusal = capsys.readouterr().err
    assert "VNNI" in refusal
    assert "Use --int8-bits 7" in refusal
    assert not (tmp_path / "out" / "model.onnx").exists(), "refused before the long work"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "exact"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512f avx512_vnni\n", True),
        ("x86_64", "flags\t\t: fpu avx2 avx_vnni\n", True),
        ("AMD64", "flags\t\t: fpu avx2 avx512f avx512bw\n", False),
        ("x86_64", "model name\t: avx512_vnni\nflags\t\t: fpu avx2\nvmx flags\t: avx_vnni\n", False),
        ("x86_64", "flags\t: avx2 avx_vnni\nflags\t: avx2\n", False),
        ("x86_64", "", False),
        ("x86_64", None, False),
        ("aarch64", "Features\t: fp asimd\n", True),
        ("arm64", None, True),
    ],
)
def test_a_processor_is_known_by_its_flags(tmp_path, machine, cpuinfo, exact):
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)

    assert processor.adds_exactly(machine, path) == exact
