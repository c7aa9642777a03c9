"""Where alerts are advised to begin, and how sure that is."""

import numpy as np
import pytest
from trainer.alarms import Ordinary, advice, advised, at_most, left_out_alarms


def speech(*recordings: list[float]) -> Ordinary:
    """Recordings by their segments' scores of angry, an hour each."""
    scores = np.zeros((sum(len(one) for one in recordings), 9))
    scores[:, 0] = np.concatenate(recordings)
    numbers = np.concatenate([np.full(len(one), n) for n, one in enumerate(recordings)])
    seconds = np.concatenate([np.full(len(one), 3600 / len(one)) for one in recordings])
    return Ordinary(scores, seconds, numbers)


CALM, CROSS, HOT = [0.1, 0.9, 0.1], [0.2, 0.57, 0.58], [0.62, 0.63, 0.1]


def test_the_lowest_threshold_without_too_many_alarms_is_advised():
    assert advised([speech(CALM)]) == 0.5, "a single segment is no alarm"
    assert advised([speech(CALM, CROSS)]) == 0.6
    assert advised([speech(CALM), speech(HOT)]) == 0.65, "the worse condition decides"
    assert advised([speech([0.95, 0.95])]) == 0.9, "none is quiet enough: the highest"


def test_an_alarm_that_is_seldom_enough_is_allowed():
    calm = [CALM] * 6
    assert advised([speech(*calm, CROSS)]) == 0.5, "one in seven hours of speech: 0.95 in 100 calls"
    assert advised([speech(*calm[:5], CROSS)]) == 0.6


@pytest.mark.parametrize(("alarms", "mean"), [(0, 2.996), (1, 4.744), (5, 10.513)])
def test_few_alarms_are_no_proof_of_a_low_rate(alarms, mean):
    """The exact one-sided limits of a Poisson count at 95 %."""
    assert at_most(alarms) == pytest.approx(mean, abs=1e-3)


def test_a_recording_that_has_no_part_in_the_choice_shows_what_the_choice_is_worth():
    assert left_out_alarms([speech(CALM, CROSS), speech(CALM, CALM)]) == [1, 0]
    found = advice([speech(CALM, CROSS), speech(CALM, CALM)])
    assert found["threshold"] == 0.6
    assert found["false_alarms_per_100_ordinary_calls"] == 0.0
    assert found["each_recording_left_out_of_the_choice"] == pytest.approx(100 / 30, abs=0.01)
    assert found["at_most_at_95_percent"] == pytest.approx(2.996 * 100 / 30, abs=0.05)
