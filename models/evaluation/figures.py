"""From labels and predictions to figures."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import LABELS, ORDINARY
from .worker import Prediction

BINS = 15


@dataclass(frozen=True)
class Rule:
    """The built-in rule of config/alerts.toml: so many segments in a row with at least this score of `angry`.

    The defaults are for a model that advises nothing.
    """

    score: float = 0.6
    in_a_row: int = 2

    @classmethod
    def advised(cls, model: Path | None) -> "Rule":
        """As the rule follows `alerts.angry` of a folder's model.json; without a folder or advice, as it is written."""
        card = json.loads((model / "model.json").read_text()) if model else {}
        found = card.get("alerts", {}).get("angry")
        return cls(found["threshold"], found.get("in_a_row", 1)) if found else cls()

    def fires(self, prediction: Prediction) -> bool:
        run, channel = 0, None
        for segment in prediction.segments:
            run = run if segment.channel == channel else 0
            channel = segment.channel
            run = run + 1 if segment.angry >= self.score else 0
            if run >= self.in_a_row:
                return True
        return False


def figures(pairs: list[tuple[str, Prediction]], rule: Rule) -> dict:
    """All figures of some files, each a pair of label and prediction."""
    spoken = [(label, found) for label, found in pairs if found.label is not None]
    labelled = [(label, found) for label, found in spoken if label != ORDINARY]
    result: dict = {"files": len(pairs), "without_speech": len(pairs) - len(spoken)}
    if labelled:
        result |= recall(labelled)
    not_angry = [found for label, found in spoken if label != "angry"]
    if not_angry:
        result["false_alarms"] = false_alarms(not_angry, rule)
    angry = [found for label, found in labelled if label == "angry"]
    if angry:
        result["anger_found"] = share(sum(any(s.angry >= rule.score for s in f.segments) for f in angry), len(angry))
    return result


def recall(pairs: list[tuple[str, Prediction]]) -> dict:
    """UA, WA, the confusion table (by label, then by prediction) and ECE, of labelled files."""
    table = {label: Counter() for label in LABELS if any(label == one for one, _ in pairs)}
    for label, found in pairs:
        table[label][found.label] += 1
    each = {label: share(row[label], row.total()) for label, row in table.items()}
    right = sum(row[label] for label, row in table.items())
    return {
        "labelled": len(pairs),
        "ua": round(sum(each.values()) / len(each), 4),
        "wa": share(right, len(pairs)),
        "ece": round(calibration_error([(found.confidence, found.label == label) for label, found in pairs]), 4),
        "recall": each,
        "confusion": {label: {other: row[other] for other in LABELS if row[other]} for label, row in table.items()},
    }


def calibration_error(pairs: list[tuple[float, bool]]) -> float:
    """Expected calibration error: mean |confidence - accuracy| over bins of equal width."""
    gaps = [0.0] * BINS
    for confidence, right in pairs:
        gaps[min(int(confidence * BINS), BINS - 1)] += confidence - right
    return sum(abs(gap) for gap in gaps) / len(pairs)


def false_alarms(predictions: list[Prediction], rule: Rule) -> dict:
    """How much of speech that is not angry is predicted so; shares of seconds, and of files."""
    segments = [segment for found in predictions for segment in found.segments]
    seconds = sum(segment.seconds for segment in segments)
    angry = sum(segment.seconds for segment in segments if segment.label == "angry")
    sure = sum(segment.seconds for segment in segments if segment.angry >= rule.score)
    return {
        "files": len(predictions),
        "seconds": round(seconds, 1),
        "angry": share(angry, seconds),
        "at_threshold": share(sure, seconds),
        "files_firing_the_rule": share(sum(rule.fires(found) for found in predictions), len(predictions)),
    }


def share(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0
