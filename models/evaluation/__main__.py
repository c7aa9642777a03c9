"""evaluate.sh MANIFEST [--worker PROGRAM] [--model DIR] [--json FILE]"""

import argparse
import dataclasses
import json
import shlex
import sys
from pathlib import Path

from .figures import Rule, figures
from .manifest import Recording, read
from .report import text
from .worker import SOME_FAILED, Prediction, configured, name, predictions

# A path may have blanks: it is never split.
DEFAULT_WORKER = [str(Path(__file__).resolve().parents[2] / "run.sh"), "worker"]


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
    parser.add_argument("--model", type=Path, help="folder of model.onnx and model.json; default: the configured one")
    otherwise = "default: what the model's model.json advises, else {}"
    parser.add_argument("--score", type=float, help="alert threshold of `angry`; " + otherwise.format(Rule.score))
    parser.add_argument("--in-a-row", type=int, help="segments of an alert; " + otherwise.format(Rule.in_a_row))
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    if arguments.model and not (arguments.model / "model.json").is_file():
        raise SystemExit(f"{arguments.model}: no model.json in it; name a folder with model.onnx and model.json")
    if arguments.model:
        name(arguments.model)  # before any recording is scored
    if arguments.json and not arguments.json.absolute().parent.is_dir():
        raise SystemExit(f"{arguments.json}: its folder does not exist; make it first")
    recordings = read(arguments.manifest)
    command = shlex.split(arguments.worker) if arguments.worker else DEFAULT_WORKER
    found = predictions(command, list(dict.fromkeys(one.path for one in recordings)), arguments.model)
    if not found:
        raise SystemExit(f"all {len(recordings)} files failed: there are no figures; the worker's messages say why")
    rule = Rule.advised(arguments.model or configured())
    given = {"score": arguments.score, "in_a_row": arguments.in_a_row}
    rule = dataclasses.replace(rule, **{name: value for name, value in given.items() if value is not None})
    result = {group: figures(pairs, rule) for group, pairs in by_group(recordings, found).items()}
    for group, values in result.items():
        print(text(group, values, rule), end="\n\n")
    refused = sum(one.path not in found for one in recordings)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if refused:
        print(f"{refused} of {len(recordings)} files failed, see above; they are in no figure", file=sys.stderr)
        sys.exit(SOME_FAILED)


if __name__ == "__main__":
    main()
