"""Checkpoints and exports that the tests share; `--full` adds the published networks' full width."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import random_checkpoint
from exporter import operators
from exporter.export import main
from exporter.reference import Reference
from exporter.runtime import Model

# One: the narrow networks gain nothing from more, and lose much on a busy machine.
THREADS = 1
NARROW = {"narrow": random_checkpoint.NARROW, "narrow_16_heads": random_checkpoint.NARROW_POWER_OF_TWO}
FULL = {"base": random_checkpoint.BASE, "large": random_checkpoint.LARGE}


@dataclass(frozen=True)
class Exported:
    """A checkpoint folder, the folder it was exported to, and both models, ready to answer."""

    checkpoint: Path
    folder: Path
    model: Model
    reference: Reference


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also test the full-size networks (base and large)")


def pytest_report_header(config):
    return "full-size networks: " + ("on" if config.getoption("--full") else "off (--full turns them on)")


def pytest_generate_tests(metafunc):
    if "exported" in metafunc.fixturenames:
        sizes = NARROW | (FULL if metafunc.config.getoption("--full") else {})
        metafunc.parametrize("exported", list(sizes), indirect=True, scope="session")


@pytest.fixture(autouse=True)
def _no_build(monkeypatch):
    """Minutes of compiling are not for these tests: with EMOFLEET_OPERATORS they take that library, else none."""
    monkeypatch.setattr(operators, "COMMAND", ("false",))


@pytest.fixture(scope="session")
def exported(request, tmp_path_factory) -> Exported:
    """Exported by the command itself, which ends with its own checks."""
    root = tmp_path_factory.mktemp(request.param)
    # The two published spellings of the weights' names.
    published = request.param != "narrow_16_heads"
    checkpoint = random_checkpoint.build(
        root / request.param, (NARROW | FULL)[request.param], published_names=published
    )
    folder = root / "exported"
    assert main([str(checkpoint), "--out", str(folder), "--threads", str(THREADS)]) == 0
    return Exported(checkpoint, folder, Model(folder / "model.onnx", THREADS), Reference(checkpoint, THREADS))


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A narrow checkpoint of one's own, to spoil."""
    return random_checkpoint.build(tmp_path / "checkpoint", random_checkpoint.NARROW_POWER_OF_TWO)
