"""The int8 form: the same contract, close to fp32, and offered only with a table on real speech."""

import json

import numpy as np
import onnx
import random_checkpoint
from exporter.export import main
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
