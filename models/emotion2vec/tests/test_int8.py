"""The int8 form: the same contract, close to fp32, and offered only with a table on real speech."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import random_checkpoint
from bf16_here import no_operators
from exporter import operators, processor
from exporter.architecture import read_architecture
from exporter.checkpoint import Weights, locate, read_config
from exporter.export import main
from exporter.int8 import QUAD
from exporter.network import write_network
from exporter.panels import PANEL, panels
from exporter.processor import Int8Form, has_int8_operators
from exporter.runtime import Model
from exporter.speech import read, synthesise


def operators_of(model: Path) -> set[str]:
    """In the bodies of its loops, where all layers are."""
    graph = onnx.load(model).graph
    bodies = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return {node.op_type for body in bodies for node in body.node}


@pytest.mark.parametrize("asked", ["auto", "7"])
def test_int8_comes_with_its_table_and_stays_close_to_fp32(checkpoint, tmp_path, capsys, asked):
    speech = synthesise(tmp_path, [0.7, 1.3, 1.9, 2.6], seed=5)
    random_checkpoint.spread_head(checkpoint, [read(path).waveform for path in speech], threads=1, gain=0.5)
    out = tmp_path / "out"

    arguments = [str(checkpoint), "--out", str(out), "--threads", "1", "--int8", "--int8-bits", asked]
    assert main([*arguments, "--check-audio", *map(str, speech)]) == 0

    table = (out / "int8" / "comparison.md").read_text()
    assert table in capsys.readouterr().out
    assert all(f"| {name} |" in table for name in ("FunASR", "fp32", "int8"))
    card = json.loads((out / "int8" / "model.json").read_text())
    assert card["precision"] == "int8"
    own = card.get("operators")
    assert ("Int8Linear" if own else "MatMulIntegerToFloat") in operators_of(out / "int8" / "model.onnx")
    whole = Model(out / "model.onnx", 1)
    small = Model(out / "int8" / "model.onnx", 1, operators=operators.library() if own else None)
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


def test_what_is_no_audio_is_refused_by_name(checkpoint, tmp_path, capsys):
    notes = tmp_path / "notes.sh"
    notes.write_text("echo no audio\n")

    assert main([str(checkpoint), "--out", str(tmp_path / "out"), "--int8", "--check-audio", str(notes)]) == 1

    assert f"{notes} can't be read as audio" in capsys.readouterr().err


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
    monkeypatch.setattr(processor, "has_int8_operators", lambda: False)
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
            network = write_network(read_architecture(config), weights, 9, precision, Int8Form(bits))
            path.write_bytes(network.SerializeToString())
            return np.array([Model(path, 1).run([waveform]).embedding[0] for waveform in speech])

        exact = embeddings("fp32", 7)
        for bits, found in errors.items():
            gap = np.linalg.norm(embeddings("int8", bits) - exact, axis=1) / np.linalg.norm(exact, axis=1)
            found.append(gap.mean())

    # One more bit halves the weights' part; that of the activations, which have 8 bits in both, stays.
    assert np.mean(errors[8]) < 0.75 * np.mean(errors[7]), errors


def own_network(checkpoint: Path, precision: str = "int8") -> onnx.ModelProto:
    files = locate(checkpoint)
    config = read_config(files)
    weights = Weights(files.weights, config["scope_map"])
    return write_network(read_architecture(config), weights, 9, precision, Int8Form(8, own_operators=True))


def test_with_the_workers_operators_no_product_is_left_to_onnx_runtime_but_small_ones(checkpoint, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(own_network(checkpoint).SerializeToString())

    # MatMul: the first convolution, with one input channel.
    inside = operators_of(path)
    assert {"Int8Linear", "NormGelu", "MatMul"} <= inside
    assert not inside & {"MatMulIntegerToFloat", "DynamicQuantizeLinear", "Gelu"}
    around = {node.op_type for node in onnx.load(path).graph.node}
    assert {"Bf16Attention", "Bf16Convolution", "NormGelu"} <= around
    assert not around & {"MultiHeadAttention", "Conv"}
    assert np.abs(integers(path)).max() == 127


def test_weights_of_the_workers_operator_are_laid_out_in_panels():
    weight = np.arange(6 * 40, dtype=np.int8).reshape(6, 40)

    packed = panels(weight, QUAD)

    assert packed.shape == (2, 2, PANEL, QUAD)
    whole = packed.transpose(1, 3, 0, 2).reshape(8, 2 * PANEL)
    np.testing.assert_array_equal(whole[:6, :40], weight)
    assert not whole[6:].any()
    assert not whole[:, 40:].any()


def test_a_row_does_not_depend_on_others_with_the_workers_operators(tmp_path):
    if why := no_operators() or ("" if has_int8_operators() else "this processor has no AVX512-VNNI"):
        pytest.skip(why)
    checkpoint = random_checkpoint.build(tmp_path / "checkpoint", random_checkpoint.NARROW)
    waveforms = [read(path).waveform for path in synthesise(tmp_path, [0.7, 2.6, 12.0], seed=5)]
    models = {}
    for precision in ("fp32", "int8"):
        path = tmp_path / f"{precision}.onnx"
        path.write_bytes(own_network(checkpoint, precision).SerializeToString())
        models[precision] = Model(path, 1, operators=operators.library() if precision == "int8" else None)
    for waveform in waveforms:
        exact, quantised = (models[precision].run([waveform]).embedding[0] for precision in ("fp32", "int8"))
        error = np.linalg.norm(quantised - exact) / np.linalg.norm(exact)
        assert 1e-4 < error < 0.03, error
    loud = waveforms[1] * 50 + 0.3
    single = models["int8"].run([waveforms[0]]).frames[0]
    batch = models["int8"].run([waveforms[0], loud]).frames[0]
    # As in bf16, what differs in the last bit of fp32 may be rounded to two neighbours.
    np.testing.assert_allclose(batch[: len(single)], single, atol=0.05)


def test_without_a_library_to_measure_with_int8_has_onnx_runtimes_operators(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(processor, "has_int8_operators", lambda: True)
    monkeypatch.setattr(processor, "adds_exactly", lambda: True)
    monkeypatch.delenv("EMOFLEET_OPERATORS", raising=False)
    speech, out = synthesise(tmp_path, [0.7]), tmp_path / "out"

    arguments = [str(checkpoint), "--out", str(out), "--threads", "1", "--int8"]
    assert main([*arguments, "--check-audio", *map(str, speech)]) == 0

    assert "which are slower here: the worker's operators can't be built" in capsys.readouterr().out
    card = json.loads((out / "int8" / "model.json").read_text())
    assert (card["weight_bits"], card.get("operators")) == (8, None)


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


@pytest.mark.parametrize(
    ("flags", "bf16", "int8"),
    [
        ("avx512f avx512bw avx512vl avx512_bf16 avx512_vnni", True, True),
        ("avx512f avx512bw avx512vl avx512_bf16", True, False),
        ("avx512f avx512bw avx512vl avx512_vnni", False, False),
        ("avx512f avx512_bf16 avx512_vnni", False, False),
        ("avx2 avx_vnni", False, False),
    ],
)
def test_the_workers_operators_run_where_all_their_instructions_are(tmp_path, flags, bf16, int8):
    path = tmp_path / "cpuinfo"
    path.write_text(f"flags\t\t: fpu {flags}\n" * 2)

    assert processor.has_bf16("x86_64", path) == bf16
    assert processor.has_int8_operators("x86_64", path) == int8
    assert not processor.has_int8_operators("aarch64", path)
