"""False alarms and what they buy: ordinary speech taken for angry beside acted anger found, by threshold; and the
threshold that a model advises."""

import math
from dataclasses import dataclass

import numpy as np

ANGRY = 0
IN_A_ROW = 2
THRESHOLDS = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)
# Advised thresholds begin here: below, another label may be as likely as angry.
LOWEST_ADVISED = 0.5
# An alert may be wrong so often, and a call of ordinary speech lasts so long.
ALARMS_PER_100_CALLS, CALL_HOURS = 1.0, 4 / 60
CERTAINTY = 0.95


@dataclass(frozen=True)
class Ordinary:
    """Segments of ordinary speech: nine scores [n, 9], seconds [n], and the number of the recording [n]; in order of
    time."""

    scores: np.ndarray
    seconds: np.ndarray
    recording: np.ndarray

    @property
    def hours(self) -> float:
        return float(self.seconds.sum()) / 3600

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


def advised(conditions: list[Ordinary]) -> float:
    """The lowest of THRESHOLDS from LOWEST_ADVISED on at which the built-in rule gives at most ALARMS_PER_100_CALLS in
    each of the conditions; the highest, if none does."""
    rates = {t: max(per_100_calls(one.alarms(t), one.hours) for one in conditions) for t in THRESHOLDS}
    return next((t for t in THRESHOLDS if t >= LOWEST_ADVISED and rates[t] <= ALARMS_PER_100_CALLS), THRESHOLDS[-1])


def per_100_calls(alarms: float, hours: float) -> float:
    return 100 * CALL_HOURS * alarms / hours


def at_most(alarms: int) -> float:
    """The largest mean of a Poisson count that gives so few alarms in one of twenty trials: by bisection."""

    def chance(mean: float) -> float:
        return sum(math.exp(-mean) * mean**n / math.factorial(n) for n in range(alarms + 1))

    low, high = 0.0, 10.0 + 3.0 * alarms
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle) > 1 - CERTAINTY else (low, middle)
    return high


def left_out_alarms(conditions: list[Ordinary]) -> list[int]:
    """Alarms by condition if each recording is judged at the threshold that is advised without it: what speech does
    that had no part in the choice."""
    count = [0] * len(conditions)
    for name in np.unique(conditions[0].recording):
        inside = [one.chosen(one.recording == name) for one in conditions]
        # A recording without an alarm from LOWEST_ADVISED on has no part in the choice, nor in the count.
        if any(one.alarms(LOWEST_ADVISED) for one in inside):
            threshold = advised([one.chosen(one.recording != name) for one in conditions])
            count = [n + one.alarms(threshold) for n, one in zip(count, inside, strict=True)]
    return count


def advice(conditions: list[Ordinary]) -> dict:
    """The advised threshold, the worse condition's alarms per 100 ordinary calls at it, and how sure that is."""
    threshold, hours = advised(conditions), conditions[0].hours
    worst = max(one.alarms(threshold) for one in conditions)
    return {
        "threshold": threshold,
        "in_a_row": IN_A_ROW,
        "false_alarms_per_100_ordinary_calls": round(per_100_calls(worst, hours), 2),
        "hours": round(hours, 2),
        "at_most_at_95_percent": round(per_100_calls(at_most(worst), hours), 1),
        "each_recording_left_out_of_the_choice": round(per_100_calls(max(left_out_alarms(conditions)), hours), 2),
    }


def table(ordinary: Ordinary, advised: float) -> dict:
    fired, recordings = ordinary.firing(advised)
    return {
        "recordings": recordings,
        "seconds": round(float(ordinary.seconds.sum())),
        "angry": round(ordinary.predicted_angry(), 4),
        "at_0.6": round(ordinary.at(0.6), 4),
        "at_advised": round(ordinary.at(advised), 4),
        "firing": fired,
        "firing_at_0.6": ordinary.firing(0.6)[0],
    }


def operating_curve(ordinary: Ordinary, acted: dict[str, np.ndarray]) -> list[dict]:
    """Per threshold: ordinary speech at it or above, alarms per hour of speech, recordings that fire, and the share of
    each set of acted angry clips.

    `acted` holds the nine scores [n, 9] of angry clips by set.
    """
    return [
        {
            "threshold": threshold,
            "ordinary_seconds": round(ordinary.at(threshold), 4),
            "alarms_per_hour": round(ordinary.alarms(threshold) / ordinary.hours, 2),
            "recordings_firing": ordinary.firing(threshold)[0],
            "found": {name: round(float((scores[:, ANGRY] >= threshold).mean()), 4) for name, scores in acted.items()},
        }
        for threshold in THRESHOLDS
    ]
