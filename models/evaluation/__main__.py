"""evaluate.sh MANIFEST [--worker PROGRAM] [--model DIR] [--json FILE]"""

import argparse
import dataclasses
import json
import shlex
from pathlib import Path

from .figures import Rule, figures
from .manifest import Recording, read
from .report import text
from .worker import Prediction, configured, predictions


def by_group(recordings: list[Recording], found: dict[Path, Prediction]) -> dict[str, list[tuple[str, Prediction]]]:
    """Labels and predictions of each group, then of all together when there are several."""
    groups: dict[str, list[tuple[str, Prediction]]] = {}
    for one in recordings:
        if one.path in found:
            groups.setdefault(one.group, []).append((one.label, found[one.path]))
    if len(groups) > 1:
        groups["all together"] = [pair for pairs in groups.values() for pair in pairs]
    return groups


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="evaluate.sh", description="Scores labelled recordings through the worker's pipeline."
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--worker", help="the worker's program, with leading arguments if it needs any")
    parser.add_argument("--default-worker", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help="folder of model.onnx and model.json; default: the configured one")
    otherwise = "default: what the model's model.json advises, else {}"
    parser.add_argument("--score", type=float, help="alert threshold of `angry`; " + otherwise.format(Rule.score))
    parser.add_argument("--in-a-row", type=int, help="segments of an alert; " + otherwise.format(Rule.in_a_row))
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    recordings = read(arguments.manifest)
    command = shlex.split(arguments.worker or arguments.default_worker or "worker")
    found = predictions(command, [one.path for one in recordings], arguments.model)
    rule = Rule.advised(arguments.model or configured())
    given = {"score": arguments.score, "in_a_row": arguments.in_a_row}
    rule = dataclasses.replace(rule, **{name: value for name, value in given.items() if value is not None})
    result = {group: figures(pairs, rule) for group, pairs in by_group(recordings, found).items()}
    for group, values in result.items():
        print(text(group, values, rule), end="\n\n")
    refused = len(recordings) - len(found)
    if refused:
        print(f"{refused} of {len(recordings)} files failed, see above; they are in no figure")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
