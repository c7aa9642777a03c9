"""Figures for a classifier over KNOWN."""

import numpy as np

from .labels import KNOWN


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def shift(neutral: float, angry: float) -> np.ndarray:
    """What is added to the logits [7]: `angry` to that of angry, `neutral` taken from that of neutral."""
    added = np.zeros(len(KNOWN))
    added[KNOWN.index("neutral")], added[KNOWN.index("angry")] = -neutral, angry
    return added


def calibrated(logits: np.ndarray, temperature: float, neutral: float, angry: float = 0.0) -> np.ndarray:
    """Calibrated scores over KNOWN [n, 7]."""
    return softmax(logits.astype(np.float64) / temperature + shift(neutral, angry))


def confusion(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, row = label, column = prediction."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (targets, predicted), 1)
    return table


def unweighted_accuracy(table: np.ndarray) -> float:
    """Mean recall over the classes that occur."""
    totals = table.sum(1)
    return float(np.mean(np.diag(table)[totals > 0] / totals[totals > 0]))


def weighted_accuracy(table: np.ndarray) -> float:
    return float(np.trace(table) / table.sum())


def calibration_error(probabilities: np.ndarray, targets: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the top class: mean |confidence - accuracy| over bins of equal width."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == targets
    slot = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(confidence[slot == b].sum() - right[slot == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(targets))


def risk_coverage(probabilities: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Share of wrong labels among the surest 20, 40, ... 100 % of the answers."""
    order = np.argsort(-probabilities.max(1), kind="stable")
    wrong = (probabilities.argmax(1) != targets)[order]
    return {
        f"{share} %": round(float(wrong[: max(1, len(wrong) * share // 100)].mean()), 4)
        for share in (20, 40, 60, 80, 100)
    }
