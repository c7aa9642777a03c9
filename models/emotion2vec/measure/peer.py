"""FunASR against the exported models, with all cores of this machine busy: `./models/emotion2vec/bench.sh`.

FunASR's `generate()` has all cores for each recording. A worker has one session for as many callers as cores, with one
thread each, so a round of its is as many recordings as cores at the same time. Sides take turns, in another order each
time; a figure is the median over the turns, a ratio that of the turns' ratios.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from exporter.architecture import read_architecture
from exporter.checkpoint import Weights, locate, read_config
from exporter.errors import ExportError
from exporter.labels import read_labels
from exporter.network import PRECISIONS, write_network
from exporter.operators import library
from exporter.processor import Int8Form, has_bf16, int8_form, own_instructions
from exporter.reference import Reference
from exporter.runtime import Model
from exporter.speech import SAMPLE_RATE, read, synthesise

from measure.random_models import SIZES, random_checkpoint

LENGTHS = (3, 10, 30)
# How many times as fast as FunASR the project wants each precision to be, by length in seconds.
AIMS = {
    "fp32": {3: 1.8, 10: 1.6, 30: 2.0},
    "int8": {3: 4.5, 10: 4.0, 30: 4.0},
    "bf16": {3: 2.7, 10: 2.7, 30: 2.7},
}


@dataclass(frozen=True)
class Side:
    """A way to predict: `embed` gives one recording's embedding, and `callers` of it may run at the same time."""

    name: str
    callers: int
    embed: Callable[[np.ndarray], np.ndarray]

    def round(self, waveform: np.ndarray, pool: ThreadPoolExecutor) -> float:
        """Wall seconds for each recording, when all callers are busy."""
        begun = time.perf_counter()
        list(pool.map(self.embed, [waveform] * self.callers))
        return (time.perf_counter() - begun) / self.callers


@dataclass
class Measured:
    """Of one length: seconds a recording by side and turn, and each side's embedding."""

    seconds: int
    times: dict[str, list[float]]
    embeddings: dict[str, np.ndarray]


def measure(sides: list[Side], waveform: np.ndarray, seconds: int, turns: int) -> Measured:
    """`turns` rounds of each side, after one that counts for nothing."""
    piece = np.resize(waveform, seconds * SAMPLE_RATE)
    times = {side.name: [] for side in sides}
    with ThreadPoolExecutor(max(side.callers for side in sides)) as pool:
        embeddings = {side.name: side.embed(piece) for side in sides}
        for turn in range(turns + 1):
            for side in sides if turn % 2 else reversed(sides):
                took = side.round(piece, pool)
                if turn:
                    times[side.name].append(took)
    return Measured(seconds, times, embeddings)


def table(measurements: list[Measured]) -> str:
    """Markdown. The embedding's relative error is that to the first side's."""
    lines = [
        "| audio | model | ms a recording | faster than FunASR | aim | faster than fp32 | embedding, relative error |",
        "|---|---|---|---|---|---|---|",
    ]
    for measured in measurements:
        first, *others = measured.times
        exact = measured.embeddings[first]
        lines.append(f"| {measured.seconds} s | {first} | {_ms(measured, first)} | 1 | | | |")
        for name in others:
            faster = _ratio(measured, first, name)
            aim = AIMS[name].get(measured.seconds)
            verdict = "" if aim is None else f"{aim:g}, {'met' if faster >= aim else 'missed'}"
            error = np.linalg.norm(measured.embeddings[name] - exact) / np.linalg.norm(exact)
            gain = _ratio(measured, "fp32", name)
            lines.append(
                f"| {measured.seconds} s | {name} | {_ms(measured, name)} | {faster:.2f} | {verdict} | {gain:.2f} "
                f"| {error:.1e} |"
            )
    return "\n".join(lines)


def _ms(measured: Measured, name: str) -> str:
    return f"{1e3 * np.median(measured.times[name]):.0f}"


def _ratio(measured: Measured, slower: str, faster: str) -> float:
    return float(np.median(np.array(measured.times[slower]) / np.array(measured.times[faster])))


def sides(checkpoint: Path, folder: Path, cores: int, operators: Path | None) -> list[Side]:
    """FunASR and an export of each precision into `folder`; bf16 with `operators` only."""
    files = locate(checkpoint)
    config = read_config(files)
    architecture, labels = read_architecture(config), read_labels(files.tokens)
    reference = Reference(files.folder, cores)
    found = [Side("FunASR", 1, lambda waveform: reference.answer(waveform).embedding)]
    for precision in PRECISIONS:
        if precision == "bf16" and not operators:
            continue
        weights = Weights(files.weights, config.get("scope_map") or [])
        graph = folder / f"{precision}.onnx"
        form = int8_form("auto") if operators else Int8Form(int8_form("auto").bits)
        network = write_network(architecture, weights, len(labels), precision, form)
        graph.write_bytes(network.SerializeToString())
        own = own_instructions(precision, form)
        model = Model(graph, 1, operators=operators if own else None)
        found.append(Side(precision, cores, lambda waveform, model=model: model.embed(waveform)))
    return found


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    logging.disable(logging.WARNING)  # FunASR's notices about optional packages
    operators, why = None, "this processor has no AVX512-BF16"
    if has_bf16():
        try:
            operators = library()
        except ExportError as refusal:
            why = str(refusal)
    if not operators:
        print(f"bf16 is left out, and int8 has ONNX Runtime's operators: {why}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        folder = Path(scratch)
        checkpoint = options.checkpoint or random_checkpoint(folder / "checkpoint", options.size)
        recording = options.audio or synthesise(folder, [max(options.seconds)])[0]
        waveform = read(recording).waveform
        compared = sides(checkpoint, folder, options.cores, operators)
        measurements = [measure(compared, waveform, seconds, options.turns) for seconds in options.seconds]
    print(f"{options.cores} cores, load {os.getloadavg()[0]:.1f}, medians of {options.turns} turns\n")
    print(table(measurements))
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.sh", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="a published model (default: random weights)")
    parser.add_argument("--size", choices=SIZES, default="large", help="of the random weights")
    parser.add_argument(
        "--audio", type=Path, metavar="FILE", help="speech, repeated to each length (default: synthetic)"
    )
    parser.add_argument("--seconds", type=int, nargs="+", default=LENGTHS, metavar="N", help="lengths, default 3 10 30")
    parser.add_argument("--turns", type=int, default=5, help="rounds of each side that count")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="FunASR's threads, and the worker's callers")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="for 2.5 GB of models (default: the system's)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
