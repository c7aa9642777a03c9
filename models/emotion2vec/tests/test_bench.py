"""The benchmark against FunASR: that it runs, on a narrow network, and what its table says."""

import numpy as np
from measure import peer


def test_the_benchmark_measures_all_sides_in_turns(capsys, monkeypatch):
    monkeypatch.setattr(peer, "has_bf16", lambda: False)

    assert peer.main(["--size", "narrow", "--seconds", "1", "3", "--turns", "2", "--cores", "2"]) == 0

    printed = capsys.readouterr()
    assert "bf16 is left out, and int8 has ONNX Runtime's operators: this processor has no AVX512-BF16" in printed.err
    assert "2 cores" in printed.out
    rows = [row.split("|") for row in printed.out.splitlines() if row.startswith("| ")][1:]
    assert [(row[1].strip(), row[2].strip()) for row in rows] == [
        (seconds, model) for seconds in ("1 s", "3 s") for model in ("FunASR", "fp32", "int8")
    ]
    errors = {row[2].strip(): float(row[7]) for row in rows if row[7].strip()}
    assert errors["fp32"] < 1e-4 < errors["int8"] < 0.2, "the sides have the same weights"


def test_sides_that_are_missing_from_the_processor_are_the_only_ones_left_out(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(peer, "has_bf16", lambda: True)
    monkeypatch.setenv("EMOFLEET_OPERATORS", str(tmp_path / "nothing.so"))

    assert peer.main(["--size", "narrow", "--seconds", "1", "--turns", "1", "--cores", "1"]) == 0

    assert "operators: EMOFLEET_OPERATORS names" in capsys.readouterr().err


def test_aims_are_met_or_missed_by_the_median_of_the_turns():
    times = {"FunASR": [2.0, 3.0, 90.0], "fp32": [1.0, 2.0, 30.0], "int8": [1.0, 1.0, 1.0], "bf16": [0.1, 1.0, 90.0]}
    embeddings = {name: np.array([3.0, 4.0]) for name in times} | {"int8": np.array([3.0, 4.5])}

    rows = peer.table([peer.Measured(3, times, embeddings)]).splitlines()[2:]

    assert rows == [
        "| 3 s | FunASR | 3000 | 1 | | | |",
        "| 3 s | fp32 | 2000 | 2.00 | 1.8, met | 1.00 | 0.0e+00 |",
        "| 3 s | int8 | 1000 | 3.00 | 4.5, missed | 2.00 | 1.0e-01 |",
        "| 3 s | bf16 | 1000 | 3.00 | 2.7, met | 2.00 | 0.0e+00 |",
    ]
