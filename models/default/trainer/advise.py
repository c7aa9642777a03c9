"""Where alerts should begin: `alerts` of model.json, chosen on ordinary speech with the packed model as it is served.

The rule is that of alarms.advised(). Needs the model and the cut recordings, no checkpoint: a model that is there
already can be advised again, as after a change of the worker's cutting (with another --work, for audio.py too).
"""

import argparse
import json
from pathlib import Path

from .alarms import Ordinary, advice
from .audio import Audio
from .corpus import Clip, data_dir, read_clips
from .files import write
from .scored import Scored

CONDITIONS = ("clean", "line")
# Of advice(): the rest is in metrics.json.
PUBLISHED = ("threshold", "in_a_row", "false_alarms_per_100_ordinary_calls")


def ordinary(scored: Scored, condition: str) -> Ordinary:
    """All ordinary speech of the test speakers."""
    rows = scored.ordinary
    return Ordinary(scored.scores(condition)[rows], scored.seconds[rows], scored.clip[rows])


def advise(clips: list[Clip], work: Path, out: Path) -> None:
    scored = Scored(clips, Audio.of(clips, work), out / "model.onnx", work)
    card = json.loads((out / "model.json").read_text())
    found = advice([ordinary(scored, condition) for condition in CONDITIONS])
    print(json.dumps(found), flush=True)
    alerts = {"angry": {name: found[name] for name in PUBLISHED}}
    if card.get("alerts") != alerts:
        text = json.dumps(card | {"alerts": alerts}, indent=2) + "\n"
        write(out / "model.json", lambda file: file.write(text.encode()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of model.onnx and model.json")
    arguments = parser.parse_args()
    advise(read_clips(data_dir(arguments.data)), arguments.work, arguments.out)
