"""One turn of a fleet: its jobs wait in the queue, it starts, does them and stops."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from .processes import Program
from .stack import ROOT

POLL_S = 0.05


@dataclass(frozen=True)
class Turn:
    """What one fleet took for all recordings."""

    # From the first job that began to the last one done.
    seconds: float
    # From the start of the program until it takes jobs with all its processes.
    ready_s: float
    # Of all its processes, without their start.
    processor_s: float
    peak_mib: float
    # Seconds of the recordings that the model was given.
    scored_s: float


@dataclass(frozen=True)
class Task:
    """What a fleet needs for its turn."""

    run: str
    folder: Path
    lengths: list[float]
    environment: dict[str, str]
    # Seconds that starting, and the jobs, may take each.
    limit_s: float

    @property
    def log(self) -> Path:
        return self.folder.with_name(f"{self.run}.log")


def run_peer(task: Task, checkpoint: Path, processes: int, threads: int) -> Turn:
    """FunASR in a pool of `processes` of Celery, each with `threads`."""
    environment = task.environment | {
        "PEER_BROKER": task.environment["EMOFLEET__AMQP__URL"],
        "PEER_MODEL": str(checkpoint),
        "PEER_THREADS": str(threads),
        "PEER_RUN": task.run,
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.environ["PYTHONPATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    enqueue = [sys.executable, "-m", "peer_fleet.enqueue", task.run, str(task.folder)]
    subprocess.run(enqueue, env=environment, check=True, timeout=task.limit_s)
    celery = [sys.executable, "-m", "celery", "-A", "peer_fleet.tasks", "worker", "--pool", "prefork", "-O", "fair"]
    celery += ["--concurrency", str(processes), "--loglevel", "warning"]
    celery += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    rows = "SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at)) FROM peer_results WHERE run = %s"
    with psycopg.connect(task.environment["EMOFLEET__POSTGRES__URL"], autocommit=True) as database:

        def one(query: str) -> tuple:
            return database.execute(query, (task.run,)).fetchone()

        def ready() -> bool:
            return one("SELECT count(*) FROM peer_processes WHERE run = %s")[0] >= processes

        def done() -> bool:
            return one(rows)[0] == len(task.lengths)

        program = Program(celery, environment, ROOT, task.log)
        ready_s, processor_s = _watched(program, task, ready, done)
        return Turn(float(one(rows)[1]), ready_s, processor_s, program.peak_mib, sum(task.lengths))


def run_emofleet(task: Task, programs: Path, model: Path, name: str) -> Turn:
    """One worker with default settings."""
    port = _free_port()
    environment = task.environment | {
        "EMOFLEET__MODEL__DIR": str(model),
        "EMOFLEET__MODEL__NAME": name,
        "EMOFLEET__WORKER__HEALTH_ADDR": f"127.0.0.1:{port}",
        "EMOFLEET__LOG__FILTER": "warn",
    }
    command = [programs / "producer", "enqueue", task.folder, "--prefix", f"{task.run}/", "--batch", task.run]
    with task.log.open("ab") as log:
        variables = environment | {"PATH": os.environ["PATH"]}
        subprocess.run(command, env=variables, cwd=ROOT, check=True, timeout=task.limit_s, stdout=log, stderr=log)
    batch = "FROM analyses a JOIN batches b ON b.id = a.batch_id"
    rows = (
        "SELECT count(*) FILTER (WHERE a.status = 'done'), count(*) FILTER (WHERE a.status = 'failed'), "
        f"extract(epoch FROM max(finished_at) - min(started_at)) {batch} WHERE b.name = %s"
    )
    scored = f"SELECT sum(s.end_s - s.start_s) {batch} JOIN segments s USING (job_id) WHERE b.name = %s"
    with psycopg.connect(task.environment["EMOFLEET__POSTGRES__URL"], autocommit=True) as database:

        def one(query: str) -> tuple:
            return database.execute(query, (task.run,)).fetchone()

        def ready() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
                    return answer.status == 200
            except OSError:
                return False

        def done() -> bool:
            ended, failed, _ = one(rows)
            if failed:
                raise RuntimeError(f"{failed} jobs failed:\n{task.log.read_text(errors='replace')}")
            return ended == len(task.lengths)

        program = Program([programs / "worker", "run"], environment, ROOT, task.log)
        ready_s, processor_s = _watched(program, task, ready, done)
        return Turn(float(one(rows)[2]), ready_s, processor_s, program.peak_mib, float(one(scored)[0] or 0))


def _watched(program: Program, task: Task, ready: Callable[[], bool], done: Callable[[], bool]) -> tuple[float, float]:
    """Waits for both and stops the program; seconds until it was ready, and its processor time since."""
    try:
        _wait(program, task.limit_s, ready)
        ready_s, begun = time.time() - program.started_at, program.processor_s()
        _wait(program, task.limit_s, done)
        return ready_s, program.processor_s() - begun
    finally:
        program.stop()


def _wait(program: Program, limit_s: float, condition: Callable[[], bool]) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        program.check()
        if time.monotonic() > until:
            raise TimeoutError(f"not within {limit_s:.0f} s; its log:\n{program.log.read_text(errors='replace')}")
        time.sleep(POLL_S)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
