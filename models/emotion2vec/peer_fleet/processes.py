"""A program and all its children: their memory and processor time, and their end."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import defaultdict
from pathlib import Path

INTERVAL_S = 0.5
STOP_S = 30


class Program:
    """A running program. `peak_mib` grows while it runs: the most that it and its children had at the same time, pages
    that several of them share counted once."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path, log: Path) -> None:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        self.log, self.peak_mib, self._ended = log, 0.0, threading.Event()
        self.started_at = time.time()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=inherited | environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._watch = threading.Thread(target=self._sample, daemon=True)
        self._watch.start()

    def processor_s(self) -> float:
        """User and system time so far, of all its processes that live."""
        ticks = os.sysconf("SC_CLK_TCK")
        return sum(sum(map(int, fields[11:13])) for fields in map(_stat, self._family()) if fields) / ticks

    def check(self) -> None:
        """Raises `RuntimeError` with its log when it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"it ended with {self._process.returncode}:\n{self.log.read_text(errors='replace')}")

    def stop(self) -> None:
        """Asks it to end, and kills what is left of its session."""
        self._ended.set()
        self._watch.join()
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _sample(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            self.peak_mib = max(self.peak_mib, sum(map(_proportional_kib, self._family())) / 1024)

    def _family(self) -> list[int]:
        children = defaultdict(list)
        for name in os.listdir("/proc"):
            if name.isdigit() and (fields := _stat(int(name))):
                children[int(fields[1])].append(int(name))
        family = [self._process.pid]
        for pid in family:
            family += children[pid]
        return family


def _stat(pid: int) -> list[str]:
    """The fields behind the name: the parent is [1], user and system time [11] and [12]. Empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _proportional_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
