"""False alarms and what they buy: ordinary speech taken for angry beside acted anger found, by threshold."""

from dataclasses import dataclass

import numpy as np

ANGRY = 0
IN_A_ROW = 2
THRESHOLDS = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)


@dataclass(frozen=True)
class Ordinary:
    """Segments of ordinary speech: nine scores [n, 9], seconds [n], and the number of the recording [n]; in order of
    time."""

    scores: np.ndarray
    seconds: np.ndarray
    recording: np.ndarray

    def chosen(self, rows: np.ndarray) -> "Ordinary":
        return Ordinary(self.scores[rows], self.seconds[rows], self.recording[rows])

    def predicted_angry(self) -> float:
        """Share of seconds whose highest score is that of angry."""
        return float(self.seconds[self.scores.argmax(1) == ANGRY].sum() / self.seconds.sum())

    def at(self, threshold: float) -> float:
        """Share of seconds with at least this score of angry."""
        return float(self.seconds[self.scores[:, ANGRY] >= threshold].sum() / self.seconds.sum())

    def firing(self, threshold: float) -> tuple[int, int]:
        """Recordings with two such segments in a row, as the built-in rule wants them, and all recordings."""
        names = np.unique(self.recording)
        return sum(fires(self.scores[self.recording == name, ANGRY], threshold) for name in names), len(names)

    def alarms(self, threshold: float) -> int:
        """How often the built-in rule would fire if it could fire again after each alarm."""
        count = 0
        for name in np.unique(self.recording):
            run = 0
            for score in self.scores[self.recording == name, ANGRY]:
                run = run + 1 if score >= threshold else 0
                if run == IN_A_ROW:
                    count, run = count + 1, 0
        return count


def fires(scores: np.ndarray, threshold: float) -> bool:
    over = scores >= threshold
    return bool((over[1:] & over[:-1]).any())


def table(ordinary: Ordinary, threshold: float = 0.6) -> dict:
    fired, recordings = ordinary.firing(threshold)
    return {
        "recordings": recordings,
        "seconds": round(float(ordinary.seconds.sum())),
        "angry": round(ordinary.predicted_angry(), 4),
        "at_0.6": round(ordinary.at(threshold), 4),
        "firing": fired,
    }


def operating_curve(ordinary: Ordinary, acted: dict[str, np.ndarray]) -> list[dict]:
    """Per threshold: ordinary speech at it or above, alarms per hour of speech, and the share of each set of acted
    angry clips.

    `acted` holds the nine scores [n, 9] of angry clips by set.
    """
    hours = float(ordinary.seconds.sum()) / 3600
    return [
        {
            "threshold": threshold,
            "ordinary_seconds": round(ordinary.at(threshold), 4),
            "alarms_per_hour": round(ordinary.alarms(threshold) / hours, 2),
            "found": {name: round(float((scores[:, ANGRY] >= threshold).mean()), 4) for name, scores in acted.items()},
        }
        for threshold in THRESHOLDS
    ]
