"""The distance to the limit: what is counted, and that the measurement runs."""

import pytest
import random_checkpoint
from exporter.architecture import read_architecture
from measure import limits


def test_operations_are_counted_from_the_shapes():
    large = read_architecture(random_checkpoint.config(random_checkpoint.LARGE))

    count = limits.operations(large, 160_000)

    # 12 blocks of 509 tokens; a feed-forward of four times the width.
    assert count.linear == pytest.approx(2e-9 * (12 * 509 * 12 * 1024**2 + 499 * 512 * 1024))
    assert count.attention == pytest.approx(2e-9 * 12 * 2 * 509**2 * 1024)
    assert count.total == pytest.approx(222, abs=3)


def test_the_limits_are_measured_for_each_precision_and_length(capsys, monkeypatch):
    monkeypatch.setattr(limits, "has_bf16", lambda: False)
    monkeypatch.setattr(limits, "INNER", (64,))
    monkeypatch.setattr(limits, "OUTER", (64,))
    monkeypatch.setattr(limits, "PIECE_S", 0.01)

    assert limits.main(["--size", "narrow", "--seconds", "1", "2", "--turns", "1", "--cores", "2"]) == 0

    printed = capsys.readouterr()
    assert "bf16 is left out" in printed.err
    kinds = ["fp32"] if "int8 is left out" in printed.err else ["fp32", "int8"]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in printed.out.splitlines() if row.startswith("| ")]
    products = [row[:2] for row in rows if len(row) == 4][1:]
    assert products == [[kind, callers] for kind in kinds for callers in ("1", "2")]
    models = [row[:3] for row in rows if row[0] in ("fp32", "int8") and len(row) == 6]
    assert models == [
        [kind, seconds, callers] for kind in kinds for seconds in ("1 s", "2 s") for callers in ("1", "2")
    ]
