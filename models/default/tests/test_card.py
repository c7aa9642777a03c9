"""README.md's figures are those of metrics.json, and model.json's advice is the one that they give."""

import json

from conftest import FOLDER
from trainer.card import filled
from trainer.segmenter import RATE, served

METRICS = json.loads((FOLDER / "metrics.json").read_text())


def test_the_tables_are_written_from_the_metrics():
    """After a change of metrics.json: `python -m trainer.card` in models/default."""
    card = (FOLDER / "README.md").read_text()
    assert filled(card, METRICS) == card


def test_the_figures_are_of_sound_as_it_is_served():
    assert METRICS["margin_s"] == served().padding / RATE, "run the stages audio, advise and evaluate again"


def test_the_advice_is_that_of_the_metrics(card):
    advised, measured = card["alerts"]["angry"], METRICS["alerts"]["angry"]
    assert advised == {name: measured[name] for name in advised}
    assert {"threshold", "in_a_row"} <= set(advised)
