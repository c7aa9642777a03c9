"""Share of time by operator: `python -m measure.operators MODEL.onnx [--seconds 10] [--runs 4]`."""

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from exporter.runtime import Model
from exporter.speech import SAMPLE_RATE


def shares(path: Path, seconds: float, runs: int) -> dict[str, float]:
    """Share of the kernels' time by operator type, over `runs` runs after a first one, on one thread."""
    waveform = np.random.default_rng(0).normal(0, 0.1, (1, round(seconds * SAMPLE_RATE))).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        session = Model(path, threads=1, profile_prefix=f"{folder}/profile").session
        known = {"waveform": waveform, "lengths": np.array([waveform.shape[1]])}
        for _ in range(runs + 1):
            session.run(None, {value.name: known[value.name] for value in session.get_inputs()})
        events = json.loads(Path(session.end_profiling()).read_text())
    spent = defaultdict(list)
    for event in events:
        # A Scan's own time is that of the operators in it, which are told one by one.
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and event["args"]["op_name"] != "Scan":
            spent[event["args"]["op_name"], event["name"]].append(event["dur"])
    totals = defaultdict(float)
    for (operator, _), durations in spent.items():
        # In a Scan, a node runs several times in each run.
        each = np.reshape(durations, (runs + 1, -1)).sum(axis=1)
        totals[operator] += float(np.median(each[1:]))
    whole = sum(totals.values())
    return {operator: total / whole for operator, total in sorted(totals.items(), key=lambda item: -item[1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--runs", type=int, default=4)
    options = parser.parse_args()
    for operator, share in shares(options.model, options.seconds, options.runs).items():
        if share >= 0.001:
            print(f"{operator:28s}{share:7.1%}")


if __name__ == "__main__":
    main()
