"""Figures of a corpus left out of training are with all of the calibration that is shipped."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trainer import evaluate
from trainer.labels import KNOWN


def test_angrys_addition_counts(monkeypatch):
    angry, other = KNOWN.index("angry"), KNOWN.index("happy")
    logits = np.zeros((1, len(KNOWN)))
    logits[0, other] = 0.2  # ahead of angry, until 0.3 is added to that
    one = SimpleNamespace(
        corpus=np.array(["emodb"]), target=np.array([angry]), logits={"clean": logits, "line": logits}
    )
    monkeypatch.setattr(evaluate.Judged, "read", lambda *_: one)
    for addition, recall in ((0.0, 0.0), (0.3, 1.0)):
        calibration = {"temperature": 1.0, "neutral_deduction": 0.0, "angry_addition": addition}
        found = evaluate.left_out(None, [], None, "emodb", calibration)
        assert [found[condition]["recall"]["angry"] for condition in ("clean", "line")] == [recall, recall]
