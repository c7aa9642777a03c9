"""Downloads from hubs on loopback: both layouts, interruptions, wrong bytes, full and unwritable disks, no network."""

import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from exporter import download as downloads
from exporter.errors import ExportError
from exporter.hub import WANTED, download
from loopback_hub import LoopbackHub

REPOSITORY = "emotion2vec_plus_large"
SIZE = 3_000_000


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0.0)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Serves a folder with the names of a checkpoint; both hubs' addresses lead to it."""
    folder = tmp_path / "published"
    (folder / "example").mkdir(parents=True)
    (folder / "model.pt").write_bytes(np.random.default_rng(1).bytes(SIZE))
    for name in set(WANTED) - {"model.pt"}:
        (folder / name).write_bytes(name.encode() * 9)
    (folder / "README.md").write_text("not wanted")
    with LoopbackHub(folder) as running:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", running.url)
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def closed(monkeypatch):
    """Both hubs' addresses are of a port at which no server listens."""
    for name in ("MODELSCOPE_ENDPOINT", "HF_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def complete(folder: Path, hub: LoopbackHub) -> bool:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return names == sorted(WANTED) and all(
        (folder / name).read_bytes() == (hub.folder / name).read_bytes() for name in names
    )


@pytest.mark.parametrize("origin", ["ms", "hf"])
def test_both_hubs_layouts_are_read_and_only_what_is_wanted_is_loaded(hub, tmp_path, origin):
    folder = download(REPOSITORY, tmp_path / "into", origin)

    assert complete(folder, hub)
    loaded = len(hub.served)
    assert download(REPOSITORY, folder, origin) == folder
    assert len(hub.served) == loaded, "what is there is not loaded again"


@pytest.mark.parametrize("origin", ["ms", "hf"])
def test_a_connection_that_is_cut_is_continued_by_range(hub, tmp_path, capsys, origin):
    hub.faults.cut_at, hub.faults.cuts = 700_000, 3

    folder = download(REPOSITORY, tmp_path / "into", origin)

    assert complete(folder, hub)
    model = [(first, sent) for name, first, sent in hub.served if name == "model.pt"]
    assert len(model) == 4
    for (before, sent), (first, _) in itertools.pairwise(model):
        assert 0 <= before + sent - first < downloads.STEP, "it goes on where the connection ended"
    assert capsys.readouterr().out == "", "progress is on stderr"


def test_a_killed_download_is_continued_by_the_next_run(hub, tmp_path):
    folder, part = tmp_path / "into", tmp_path / "into" / "model.pt.part"
    hub.faults.stall_at = 2_097_152  # a whole number of blocks
    call = f"download({REPOSITORY!r}, Path({str(folder)!r}), 'ms')"
    script = f"from pathlib import Path; from exporter.hub import download; {call}"
    run = subprocess.Popen([sys.executable, "-c", script], env=os.environ)
    begun = time.monotonic()
    while not (part.is_file() and part.stat().st_size >= hub.faults.stall_at):
        assert run.poll() is None, "the download ended by itself"
        assert time.monotonic() - begun < 60
        time.sleep(0.02)
    run.kill()
    run.wait()
    hub.faults.stall_at = 0
    hub.served.clear()

    download(REPOSITORY, folder, "ms")

    assert complete(folder, hub)
    assert hub.served == [("model.pt", 2_097_152, SIZE - 2_097_152), ("example/test.wav", 0, 144)]


def test_a_hub_that_keeps_failing_is_given_up_and_leaves_a_part(hub, tmp_path):
    hub.faults.unavailable = 1000

    with pytest.raises(ExportError, match=r"status 503.*Run the command again"):
        download(REPOSITORY, tmp_path / "into", "hf")

    hub.faults.unavailable = 3
    assert complete(download(REPOSITORY, tmp_path / "into", "hf"), hub)


def test_a_server_without_ranges_sends_all_again(hub, tmp_path):
    folder = tmp_path / "into"
    folder.mkdir()
    (folder / "model.pt.part").write_bytes(b"x" * 1000)
    hub.faults.no_ranges = True

    assert complete(download(REPOSITORY, folder, "ms"), hub)


@pytest.mark.parametrize("origin", ["ms", "hf"])
def test_a_part_of_another_version_is_loaded_anew(hub, tmp_path, capsys, origin):
    folder = tmp_path / "into"
    folder.mkdir()
    (folder / "model.pt.part").write_bytes(b"x" * 1000)

    assert complete(download(REPOSITORY, folder, origin), hub)
    assert "the digest is wrong" in capsys.readouterr().err


def test_a_damaged_file_is_replaced(hub, tmp_path):
    folder = download(REPOSITORY, tmp_path / "into", "ms")
    damaged = bytearray((folder / "model.pt").read_bytes())
    damaged[SIZE // 2] ^= 1
    (folder / "model.pt").write_bytes(damaged)

    assert complete(download(REPOSITORY, folder, "ms"), hub)


@pytest.mark.parametrize("origin", ["ms", "hf"])
def test_a_wrong_digest_is_refused_and_leaves_no_file(hub, tmp_path, origin):
    hub.faults.wrong_digest = True

    with pytest.raises(ExportError, match="another file than it announces"):
        download(REPOSITORY, tmp_path / "into", origin)

    assert not [path for path in (tmp_path / "into").rglob("*") if path.is_file()]


def test_a_server_that_sends_more_than_it_announces_does_not_fill_the_disk(hub, tmp_path):
    hub.faults.longer = b"x" * 100_000_000

    with pytest.raises(ExportError, match="sends more than"):
        download(REPOSITORY, tmp_path / "into", "ms")

    assert sum(path.stat().st_size for path in (tmp_path / "into").rglob("*") if path.is_file()) < 4_000_000


def test_the_other_hub_is_asked_where_none_was_named(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")

    assert complete(download(REPOSITORY, tmp_path / "into"), hub)
    with pytest.raises(ExportError, match=r"ModelScope .*could not be reached"):
        download(REPOSITORY, tmp_path / "other", "ms")


def test_an_address_that_is_no_mirror_says_so(hub, tmp_path, monkeypatch):
    hub.faults.missing = True
    with pytest.raises(ExportError, match="answered 404"):
        download(REPOSITORY, tmp_path / "into", "hf")

    hub.faults.missing = False
    monkeypatch.setattr(LoopbackHub, "modelscope", lambda hub: {"Code": 10, "Data": None})
    with pytest.raises(ExportError, match="is this address a mirror"):
        download(REPOSITORY, tmp_path / "into", "ms")


def test_a_repository_without_weights_is_refused(hub, tmp_path):
    (hub.folder / "model.pt").unlink()

    with pytest.raises(ExportError, match=r"has no model\.pt"):
        download(REPOSITORY, tmp_path / "into", "ms")


def test_without_a_network_it_says_which_files_to_copy(closed, tmp_path):
    with pytest.raises(ExportError) as refusal:
        download(REPOSITORY, tmp_path / "into")

    sentence = str(refusal.value)
    assert sentence.count("could not be reached") == 2
    assert all(name in sentence for name in WANTED)
    assert "--from FOLDER" in sentence
    assert f"modelscope.cn/models/iic/{REPOSITORY}/files" in sentence


def test_a_full_disk_keeps_what_was_loaded_and_says_how_much_is_missing(hub, tmp_path, monkeypatch):
    folder = tmp_path / "into"
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))

    with pytest.raises(ExportError, match=r"is full: 0\.00 GB more are needed for model\.pt"):
        download(REPOSITORY, folder, "ms")
    assert (folder / "config.yaml").is_file()


def test_a_disk_that_fills_up_meanwhile_is_told(hub, tmp_path):
    folder = tmp_path / "into"
    folder.mkdir()
    (folder / "model.pt.part").symlink_to("/dev/full")  # the kernel's own refusal

    with pytest.raises(ExportError, match="is full"):
        download(REPOSITORY, folder, "ms")


def test_a_folder_that_can_not_be_written_is_told(hub, tmp_path):
    (tmp_path / "into").write_text("a file where the folder should be")

    with pytest.raises(ExportError, match="into can't be written"):
        download(REPOSITORY, tmp_path / "into", "ms")
