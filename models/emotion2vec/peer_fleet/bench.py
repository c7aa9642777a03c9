"""emofleet against a fleet of Celery and FunASR, on the same RabbitMQ, S3 and Postgres and the same recordings.

The peer has a process with one thread for each core, or one process with a thread for each core; emofleet one worker
with default settings, in each precision. Fleets take turns, in another order each time. A figure is the median of its
turns, a ratio that of the turns' ratios to the faster peer. All services are private ones on loopback, stopped at the
end.
"""

import argparse
import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from exporter.processor import has_bf16
from measure.random_models import SIZES, random_models

from .fleets import Task, Turn, run_emofleet, run_peer
from .recordings import write_recordings
from .stack import ROOT, Stack

Fleet = Callable[[Task], Turn]


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    logging.disable(logging.WARNING)  # FunASR's notices about optional packages
    programs = options.programs.resolve() if options.programs else _built()
    with contextlib.ExitStack() as cleanup:
        scratch = Path(cleanup.enter_context(tempfile.TemporaryDirectory(dir=options.scratch)))
        models = (options.models or scratch / "models").resolve()
        folders = random_models(models, options.size)
        if not has_bf16():
            folders.pop("bf16")
            print("bf16 is left out: this processor has no AVX512-BF16", file=sys.stderr)
        recordings = scratch / "recordings"
        lengths = write_recordings(recordings, options.data, options.jobs)
        stack = cleanup.enter_context(Stack())
        _migrate(programs, stack.environment)
        peers, ours = _fleets(models / "checkpoint", folders, programs, options.cores)
        fleets = {name: fleet for name, fleet in (peers | ours).items() if _chosen(name, options.only)}
        turns: dict[str, list[Turn]] = {name: [] for name in fleets}
        for number in range(options.turns):
            for name in list(fleets) if number % 2 == 0 else reversed(fleets):
                run = f"turn{number}-{name.replace(' ', '-')}"
                print(f"turn {number + 1} of {options.turns}: {name}", file=sys.stderr)
                task = Task(run, recordings, lengths, stack.environment, options.limit)
                turns[name].append(fleets[name](task))
    print(f"{options.size}, {options.cores} cores, load {os.getloadavg()[0]:.1f}, {options.turns} turns; ", end="")
    print(f"{len(lengths)} recordings, {sum(lengths):.0f} s\n")
    print(table(turns, lengths, [name for name in peers if name in turns]))
    return 0


def _fleets(
    checkpoint: Path, folders: dict[str, Path], programs: Path, cores: int
) -> tuple[dict[str, Fleet], dict[str, Fleet]]:
    """The peers and emofleet's precisions, by name."""
    shapes = dict.fromkeys([(cores, 1), (1, cores)])  # one and the same on one core
    peers = {f"peer {p} x {t}": partial(run_peer, checkpoint=checkpoint, processes=p, threads=t) for p, t in shapes}
    ours = {}
    for precision, folder in folders.items():
        name = json.loads((folder / "model.json").read_text())["name"]
        ours[f"emofleet {precision}"] = partial(run_emofleet, programs=programs, model=folder, name=name)
    return peers, ours


def table(turns: dict[str, list[Turn]], lengths: list[float], peers: list[str]) -> str:
    """Markdown. The faster peer is the one with the shorter median."""
    lines = [
        "| fleet | audio s/s | recordings/s | faster than the peer | processor s a recording | peak memory, MiB "
        "| start to ready, s | of the audio, scored |",
        "|---|---|---|---|---|---|---|---|",
    ]
    best = min(peers, key=lambda name: median(turn.seconds for turn in turns[name]), default=None)
    for name, own in turns.items():
        seconds = median(turn.seconds for turn in own)
        ratio = ""
        if best:
            pairs = zip(turns[best], own, strict=True)
            ratio = f"{median(peer.seconds / turn.seconds for peer, turn in pairs):.2f}"
        lines.append(
            f"| {name} | {sum(lengths) / seconds:.1f} | {len(lengths) / seconds:.2f} | {ratio} "
            f"| {median(turn.processor_s for turn in own) / len(lengths):.2f} | {max(t.peak_mib for t in own):.0f} "
            f"| {median(turn.ready_s for turn in own):.1f} | {own[0].scored_s / sum(lengths):.0%} |"
        )
    return "\n".join(lines)


def _chosen(name: str, only: list[str] | None) -> bool:
    return not only or name.split()[0] in only or name.split()[1] in only


def _built() -> Path:
    print("building worker and producer", file=sys.stderr)
    target = ROOT / (os.environ.get("CARGO_TARGET_DIR") or "target")
    # Named, since Cargo's own configuration may name another folder.
    command = ["cargo", "build", "--release", "--target-dir", target, "--bin", "worker", "--bin", "producer"]
    subprocess.run(command, cwd=ROOT, check=True)
    return target / "release"


def _migrate(programs: Path, environment: dict[str, str]) -> None:
    variables = environment | {"PATH": os.environ["PATH"]}
    subprocess.run([programs / "producer", "migrate"], env=variables, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.sh", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="large", help="of the random weights")
    parser.add_argument(
        "--models", type=Path, metavar="DIR", help="what random_models.sh made, or makes here (default: scratch)"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="speech to cut the recordings from (default: espeak-ng)"
    )
    parser.add_argument("--jobs", type=int, default=40, metavar="N", help="recordings of 3 to 9 s (default 40)")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="turns of each fleet (default 3)")
    parser.add_argument("--only", nargs="+", choices=("peer", "fp32", "int8", "bf16"), help="fleets (default: all)")
    parser.add_argument(
        "--cores", type=int, default=os.cpu_count(), metavar="N", help="the peer's processes, and its threads"
    )
    parser.add_argument(
        "--limit", type=float, default=900, metavar="S", help="seconds a fleet may take for a turn (default 900)"
    )
    parser.add_argument("--programs", type=Path, metavar="DIR", help="of worker and producer (default: built here)")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="for 1.9 GB of models (default: the system's)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
