"""`model use`: from a name to the folder that workers load, through a hub on loopback, and which precision is taken."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import random_checkpoint
from bf16_here import no_operators
from exporter import processor, use
from exporter.card import sha256
from exporter.choice import LONGEST, MOST_SEGMENTS, choose, segments
from exporter.comparison import Contestant
from exporter.hub import Published
from exporter.speech import SAMPLE_RATE, Recording, synthesise
from loopback_hub import LoopbackHub

SIZES = {"narrow": random_checkpoint.NARROW_POWER_OF_TWO, "large": random_checkpoint.LARGE}


@dataclass(frozen=True)
class Place:
    """A hub with a checkpoint, recordings to measure on, and the folder of models."""

    hub: LoopbackHub
    speech: Path
    models: Path

    def use(self, *options: str, name: str = "emotion2vec+large") -> int:
        common = ["--models", str(self.models), "--speech", str(self.speech), "--threads", "1"]
        return use.main([name, *common, *options])


def pytest_generate_tests(metafunc):
    if "width" in metafunc.fixturenames:
        full = ["large"] if metafunc.config.getoption("--full") else []
        metafunc.parametrize("width", ["narrow", *full])


@pytest.fixture
def place(tmp_path, monkeypatch, request):
    size = SIZES[request.node.callspec.params.get("width", "narrow") if hasattr(request.node, "callspec") else "narrow"]
    folder, speech = random_checkpoint.build(tmp_path / "published", size), tmp_path / "speech"
    speech.mkdir()
    synthesise(speech, [3.0] * 21, seed=3)
    monkeypatch.setitem(use.CATALOGUE, "emotion2vec+large", Published("emotion2vec_plus_large", size.width))
    with LoopbackHub(folder) as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield Place(hub, speech, tmp_path / "models")


@pytest.mark.parametrize("origin", ["ms", "hf"])
def test_a_name_becomes_a_folder_that_workers_load(place, capsys, width, origin):
    place.hub.faults.cut_at, place.hub.faults.cuts = place.hub.folder.joinpath("model.pt").stat().st_size // 2, 1

    assert place.use("--from", origin) == 0

    printed = capsys.readouterr()
    folder = Path(printed.out.strip())
    assert str(folder) == printed.out.rstrip("\n"), "stdout is the folder alone"
    card = json.loads((folder / "model.json").read_text())
    assert card["sha256"] == sha256(folder / "model.onnx")
    assert card["name"].removesuffix("_int8") == "emotion2vec_plus_large"
    assert "ok    scores, against FunASR" in printed.err
    assert "| int8 |" in printed.err
    choice = json.loads((place.models / "emotion2vec_plus_large" / "exported" / "choice.json").read_text())
    assert choice["precision"] == card["precision"]
    assert f"taking {card['precision']}: on 21 segments (63 s) int8 takes" in printed.err


def test_what_is_made_already_is_not_made_again(place, capsys):
    assert place.use() == 0
    exported = place.models / "emotion2vec_plus_large" / "exported"
    before = (exported / "model.onnx").stat().st_mtime_ns
    served = len(place.hub.served)
    capsys.readouterr()

    assert place.use("--precision", "int8") == 0

    printed = capsys.readouterr()
    assert printed.out.strip() == str(exported / "int8")
    assert "taking int8, as you asked" in printed.err
    assert (exported / "model.onnx").stat().st_mtime_ns == before
    assert len(place.hub.served) == served

    # Another checkpoint under the same name is exported anew.
    random_checkpoint.build(place.hub.folder, SIZES["narrow"], seed=5)
    assert place.use("--precision", "fp32") == 0
    assert (exported / "model.onnx").stat().st_mtime_ns > before
    assert not (place.models / "emotion2vec_plus_large" / "exported.old").exists()


def test_int8_is_made_again_only_where_its_bits_do_not_serve(place, capsys, monkeypatch):
    graph = place.models / "emotion2vec_plus_large" / "exported" / "int8" / "model.onnx"

    def bits(exact: bool, *options: str) -> tuple[int, bool]:
        """After a call on such a processor: the model's bits, and whether it was made anew."""
        monkeypatch.setattr(processor, "adds_exactly", lambda: exact)
        monkeypatch.setattr(processor, "has_int8_operators", lambda: False)
        before = graph.stat().st_mtime_ns if graph.exists() else None
        assert place.use("--precision", "int8", *options) == 0
        card = json.loads(graph.with_name("model.json").read_text())
        assert ("workers on x86 without VNNI refuse it" in capsys.readouterr().err) == (card["weight_bits"] == 8)
        return card["weight_bits"], graph.stat().st_mtime_ns != before

    assert bits(True) == (8, True)
    assert bits(True) == (8, False)
    assert bits(False) == (7, True), "what was made elsewhere does not run here"
    assert bits(True) == (7, False), "7 bits run anywhere"
    assert bits(True, "--int8-bits", "8") == (8, True)
    assert bits(True, "--int8-bits", "7") == (7, True)
    assert place.use("--int8-bits", "8", "--precision", "fp32") == 0
    assert graph.is_file()
    monkeypatch.setattr(processor, "adds_exactly", lambda: False)
    assert place.use("--int8-bits", "8") == 1
    assert "Use --int8-bits 7" in capsys.readouterr().err


def test_bf16_is_refused_where_it_does_not_run(place, capsys, monkeypatch):
    monkeypatch.setattr(processor, "has_bf16", lambda: False)

    assert place.use("--precision", "bf16") == 1

    assert "avx512_bf16" in capsys.readouterr().err
    assert not place.hub.served, "refused before the download"


def test_bf16_is_made_when_asked_for(place, capsys):
    if why := no_operators():
        pytest.skip(why)
    assert place.use("--precision", "fp32") == 0
    exported = place.models / "emotion2vec_plus_large" / "exported"
    assert not (exported / "bf16").exists()
    capsys.readouterr()

    assert place.use("--precision", "bf16") == 0

    printed = capsys.readouterr()
    assert printed.out.strip() == str(exported / "bf16")
    assert "| bf16 |" in printed.err
    assert "taking bf16, as you asked" in printed.err
    made = (exported / "bf16" / "model.onnx").stat().st_mtime_ns
    assert place.use("--precision", "bf16") == 0
    assert (exported / "bf16" / "model.onnx").stat().st_mtime_ns == made


def test_a_folder_that_was_copied_here_is_used_without_a_network(place, capsys, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert place.use() == 1
    sentence = capsys.readouterr().err
    assert "emotion2vec+large can't be used" in sentence
    assert "--from FOLDER" in sentence
    copied = shutil.copytree(place.hub.folder, place.models.parent / "stick")

    assert place.use("--from", str(copied)) == 0

    assert Path(capsys.readouterr().out.strip(), "model.json").is_file()
    assert not (place.models / "emotion2vec_plus_large" / "checkpoint").exists(), "it is not copied once more"


def test_a_damaged_copy_is_refused_and_what_was_exported_before_stays(place, capsys):
    assert place.use() == 0
    exported = place.models / "emotion2vec_plus_large" / "exported"
    copied = shutil.copytree(place.hub.folder, place.models.parent / "stick")
    os.truncate(copied / "model.pt", 100_000)
    capsys.readouterr()

    assert place.use("--from", str(copied)) == 1

    assert "incomplete or damaged" in capsys.readouterr().err
    assert (exported / "model.json").is_file()


def test_the_folder_of_another_model_is_refused(place, capsys):
    assert place.use("--from", str(place.hub.folder), name="emotion2vec+base") == 1

    assert "holds a network 64 wide, emotion2vec+base is 768" in capsys.readouterr().err


def test_a_folder_that_does_not_exist_and_a_name_that_is_unknown_are_told(place, capsys):
    assert place.use("--from", "/no/such/folder") == 1
    assert "must be ms, hf or a folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        place.use(name="emotion3vec")
    assert "emotion2vec+large" in capsys.readouterr().err, "the names there are"


def test_recordings_that_can_not_be_read_are_left_out(place, capsys):
    (place.speech / "broken.wav").write_bytes(b"RIFF")

    assert place.use() == 0
    assert "leaving out" in capsys.readouterr().err
    for path in place.speech.glob("voice*"):
        path.unlink()
    assert place.use("--precision", "fp32", "--speech", str(place.models)) == 1
    assert "no recordings" in capsys.readouterr().err


def measured(
    changes: list[float], gain: float, others: int = 0, emotions: int = 3
) -> tuple[Contestant, Contestant, list[Recording]]:
    """Contestants whose scores differ by `changes` from segment to segment, `others` with another first emotion."""
    first = np.array([0.6, 0.3] + [0.1 / 7] * 7)
    exact = np.array([np.roll(first, index % emotions) for index in range(len(changes))])
    quantised = exact.copy()
    for index, change in enumerate(changes):
        at = [index % emotions, index % emotions + 1]
        quantised[index, at] += (-change, change)
        if index < others:
            quantised[index, at] = quantised[index, at[::-1]]
    fp32 = Contestant("fp32", None, list(exact), processor=[gain] * len(changes))
    int8 = Contestant("int8", None, list(quantised), processor=[1.0] * len(changes))
    return fp32, int8, [Recording(Path("x"), np.zeros(3 * SAMPLE_RATE, dtype=np.float32))] * len(changes)


@pytest.mark.parametrize(
    ("changes", "gain", "others", "emotions", "precision", "why"),
    [
        ([0.01] * 40, 2.0, 0, 3, "int8", "the same first emotion in 100%"),
        ([0.01] * 40, 1.2, 0, 3, "fp32", "fp32 must take at least 1.3 times as long"),
        ([0.08] * 40, 2.0, 0, 3, "fp32", "no score may change by more than 0.05"),
        ([0.01] * 39 + [0.08], 2.0, 0, 3, "int8", "of 95% of them"),
        ([0.01] * 40, 2.0, 2, 3, "fp32", "at least 98% of the first emotions"),
        ([0.01] * 19, 2.0, 0, 3, "fp32", "too little speech"),
        ([0.01] * 40, 2.0, 0, 2, "fp32", "only 2 of the nine emotions"),
    ],
)
def test_int8_is_taken_where_it_is_faster_and_says_the_same(changes, gain, others, emotions, precision, why):
    choice = choose(*measured(changes, gain, others, emotions))

    assert choice.precision == precision
    assert why in choice.why


def test_recordings_are_cut_as_long_as_segments():
    long = Recording(Path("a"), np.arange(int(25.3 * SAMPLE_RATE), dtype=np.float32))
    short = Recording(Path("b"), np.zeros(100, dtype=np.float32))

    pieces = segments([long, short])

    assert [piece.path for piece in pieces] == [long.path] * 3
    assert max(len(piece.waveform) for piece in pieces) <= LONGEST * SAMPLE_RATE
    np.testing.assert_array_equal(np.concatenate([piece.waveform for piece in pieces]), long.waveform)
    assert len(segments([long] * 50)) == MOST_SEGMENTS
