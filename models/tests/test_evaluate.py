"""evaluate.sh on a worker that answers from a table: figures worked out by hand."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "evaluate.sh"

WORKER = """
import json, os, pathlib, sys
assert sys.argv[1:4] == ["analyze", "--json", "--also-score"], sys.argv
assert "EMOFLEET_STACK_MODEL" not in os.environ or "EMOFLEET__MODEL__NAME" not in os.environ
assert json.loads(os.environ["EMOFLEET__ANALYSIS__ARTIFACTS"]) == ["result"]
out = pathlib.Path(sys.argv[6])
assert not list(out.iterdir()), "left by an earlier run"
(out / "audio").touch()
answers = json.loads(pathlib.Path(__file__).with_name("answers.json").read_text())
code = 0
for file in sys.argv[7:]:
    answer = answers[pathlib.Path(file).name]
    if isinstance(answer, str):
        print(f"{file}: {answer}: a sentence\\n  advice", file=sys.stderr)
        code = 3
        continue
    answer["object"] = {"key": file}
    answer["model"] = {"name": os.environ.get("SCORED_BY") or os.environ.get("EMOFLEET__MODEL__NAME", "m")}
    print(json.dumps(answer))
sys.exit(code)
"""


def answer(label: str | None, confidence: float | None, *segments: tuple[int, float, str, float]) -> dict:
    """A report with segments of (channel, seconds, label, score of angry)."""
    channels = [
        {
            "channel": number,
            "role": "speaker",
            "scored": True,
            "segments": [
                {"start_s": 1.0, "end_s": 1.0 + seconds, "emotion": emotion, "scores": {"angry": angry}}
                for channel, seconds, emotion, angry in segments
                if channel == number
            ],
        }
        for number in sorted({segment[0] for segment in segments})
    ]
    return {"emotion": label, "confidence": confidence, "channels": channels}


def run(*arguments: str | Path, script: Path = SCRIPT) -> subprocess.CompletedProcess:
    return subprocess.run([script, *arguments], capture_output=True, text=True, check=False)


def refused(done: subprocess.CompletedProcess, sentence: str) -> None:
    """With one sentence of ours: no traceback."""
    assert done.returncode == 1 and sentence in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.fixture
def evaluate(tmp_path):
    """Runs the script over files of given (label, group, report or failure code); gives the figures and what was
    printed."""

    def figures(files: dict[str, tuple[str, str, dict | str]], *options: str, code: int = 0) -> tuple[dict, str]:
        (tmp_path / "worker.py").write_text(WORKER)
        (tmp_path / "answers.json").write_text(json.dumps({name: found for name, (_, _, found) in files.items()}))
        lines = ["path\temotion\tgroup"]
        for name, (label, group, _) in files.items():
            (tmp_path / name).touch()
            lines.append(f"{name}\t{label}\t{group}")
        (tmp_path / "manifest.tsv").write_text("\n".join(lines) + "\n")
        worker = f"{sys.executable} {tmp_path / 'worker.py'}"
        command = [SCRIPT, tmp_path / "manifest.tsv", "--worker", worker, "--json", tmp_path / "out.json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return json.loads((tmp_path / "out.json").read_text()), done.stdout + done.stderr

    return figures


def test_recall_confusion_and_calibration_of_labelled_files(evaluate):
    found, printed = evaluate(
        {
            "a.wav": ("angry", "acted", answer("angry", 0.9, (0, 2.0, "angry", 0.9))),
            "b.wav": ("angry", "acted", answer("happy", 0.5, (0, 2.0, "happy", 0.3))),
            "c.wav": ("sad", "acted", answer("sad", 0.9, (0, 2.0, "sad", 0.0))),
            "d.wav": ("sad", "acted", answer(None, None)),
        }
    )
    figures = found["acted"]
    assert (figures["files"], figures["without_speech"], figures["labelled"]) == (4, 1, 3)
    assert figures["ua"] == pytest.approx(0.75) and figures["wa"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["confusion"] == {"angry": {"angry": 1, "happy": 1}, "sad": {"sad": 1}}
    # Two right at 0.9, one wrong at 0.5.
    assert figures["ece"] == pytest.approx((0.2 + 0.5) / 3, abs=1e-4)
    assert figures["anger_found"] == 0.5
    assert "UA 75.0 %" in printed


def test_false_alarms_are_shares_of_seconds_and_of_files(evaluate):
    found, _ = evaluate(
        {
            "calm.wav": (
                "ordinary",
                "calls",
                answer("neutral", 0.8, (0, 6.0, "neutral", 0.1), (0, 2.0, "angry", 0.45)),
            ),
            "loud.wav": ("", "calls", answer("angry", 0.8, (0, 1.0, "angry", 0.7), (0, 1.0, "angry", 0.6))),
            # Two in all, but on two channels: not in a row.
            "both.wav": ("neutral", "calls", answer("angry", 0.8, (0, 5.0, "angry", 0.7), (1, 5.0, "angry", 0.7))),
        }
    )
    alarms = found["calls"]["false_alarms"]
    assert (alarms["files"], alarms["seconds"]) == (3, 20.0)
    assert alarms["angry"] == pytest.approx(14 / 20) and alarms["at_threshold"] == pytest.approx(12 / 20)
    assert alarms["files_firing_the_rule"] == pytest.approx(1 / 3, abs=1e-4)


def test_groups_have_figures_apart_and_together_and_failed_files_are_counted(evaluate):
    found, printed = evaluate(
        {
            "a.wav": ("sad", "one", answer("sad", 0.9, (0, 2.0, "sad", 0.0))),
            "b.wav": ("sad", "two", answer("happy", 0.9, (0, 2.0, "happy", 0.0))),
            "c.wav": ("sad", "two", "audio.corrupt"),
        },
        code=3,
    )
    assert (found["one"]["ua"], found["two"]["ua"], found["all together"]["ua"]) == (1.0, 0.0, 0.5)
    assert "1 of 3 files failed" in printed


def test_a_file_that_is_named_twice_did_not_fail(evaluate, tmp_path):
    files = {"a.wav": ("sad", "one", answer("sad", 0.9, (0, 2.0, "sad", 0.0)))}
    evaluate(files)
    manifest = tmp_path / "manifest.tsv"
    manifest.write_text(manifest.read_text() + "a.wav\tsad\ttwo\n")
    done = run(manifest, "--worker", f"{sys.executable} {tmp_path / 'worker.py'}")
    assert done.returncode == 0, done.stderr
    assert "== one: 1 files" in done.stdout and "== two: 1 files" in done.stdout and "failed" not in done.stdout


def test_another_threshold_counts_other_alarms(evaluate):
    files = {"calm.wav": ("ordinary", "calls", answer("neutral", 0.8, (0, 6.0, "neutral", 0.4)))}
    found, _ = evaluate(files, "--score", "0.4", "--in-a-row", "1")
    assert found["calls"]["false_alarms"]["files_firing_the_rule"] == 1.0


def test_the_configured_model_is_judged_at_what_it_advises(evaluate, tmp_path, monkeypatch):
    files = {"calm.wav": ("ordinary", "calls", answer("neutral", 0.8, (0, 6.0, "neutral", 0.45)))}
    (tmp_path / "model.json").write_text(json.dumps({"name": "m", "alerts": {"angry": {"threshold": 0.45}}}))
    monkeypatch.setenv("EMOFLEET__MODEL__DIR", str(tmp_path))
    assert evaluate(files)[0]["calls"]["false_alarms"]["files_firing_the_rule"] == 1.0
    monkeypatch.setenv("EMOFLEET__MODEL__DIR", str(tmp_path / "none"))
    assert evaluate(files)[0]["calls"]["false_alarms"]["files_firing_the_rule"] == 0.0


def test_a_model_that_advises_a_threshold_is_judged_at_it(evaluate, tmp_path):
    files = {"calm.wav": ("ordinary", "calls", answer("neutral", 0.8, (0, 6.0, "neutral", 0.45)))}
    (tmp_path / "model").mkdir()
    for alerts, firing in (({"angry": {"threshold": 0.45}}, 1.0), ({}, 0.0)):
        (tmp_path / "model" / "model.json").write_text(json.dumps({"name": "m", "alerts": alerts}))
        found, _ = evaluate(files, "--model", tmp_path / "model")
        assert found["calls"]["false_alarms"]["files_firing_the_rule"] == firing
    (tmp_path / "model" / "model.json").write_text(json.dumps({"name": "m", "alerts": {"angry": {"threshold": 0.45}}}))
    found, _ = evaluate(files, "--model", tmp_path / "model", "--score", "0.5")
    assert found["calls"]["false_alarms"]["files_firing_the_rule"] == 0.0


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("file\temotion\na.wav\tsad\n", "columns `path` and `emotion` are needed"),
        ("path\temotion\na.wav\tbored\n", "`bored` is no label"),
        ("path\temotion\nmissing.wav\tsad\n", "missing.wav is not there"),
        ("emotion\tpath\nsad\n", "manifest.tsv:2: the column `path` is empty"),
        ("path\temotion\n\tsad\n", "manifest.tsv:2: the column `path` is empty"),
        ("path\temotion\n", "names no recordings"),
        ("path\temotion\n电话.wav\tsad\n".encode("gb18030"), "manifest.tsv is not UTF-8"),
        (None, "manifest.tsv can't be read: No such file"),
    ],
)
def test_a_manifest_that_is_none_is_refused_in_a_sentence(tmp_path, table, sentence):
    (tmp_path / "a.wav").touch()
    if table is not None:
        (tmp_path / "manifest.tsv").write_bytes(table if isinstance(table, bytes) else table.encode())
    refused(run(tmp_path / "manifest.tsv"), sentence)


def test_folders_that_are_none_are_refused_before_the_worker_runs(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "manifest.tsv").write_text("path\temotion\na.wav\tsad\n")
    refused(run(tmp_path / "manifest.tsv", "--worker", "false", "--model", tmp_path), "no model.json in it")
    refused(run(tmp_path / "manifest.tsv", "--worker", "false", "--json", tmp_path / "no" / "f.json"), "does not exist")


@pytest.mark.parametrize(
    ("card", "sentence"), [("{", "can't be read as JSON"), ("[]", "names no model"), ("{}", "names no model")]
)
def test_a_model_without_a_name_is_refused_before_the_worker_runs(tmp_path, card, sentence):
    (tmp_path / "a.wav").touch()
    (tmp_path / "manifest.tsv").write_text("path\temotion\na.wav\tsad\n")
    (tmp_path / "model.json").write_text(card)
    refused(run(tmp_path / "manifest.tsv", "--worker", "false", "--model", tmp_path), sentence)


def test_a_named_model_is_the_one_that_scores(evaluate, tmp_path, monkeypatch):
    files = {"a.wav": ("sad", "one", answer("sad", 0.9, (0, 2.0, "sad", 0.0)))}
    (tmp_path / "model.json").write_text(json.dumps({"name": "wanted"}))
    # Of an earlier `eval "$(./run.sh env)"`.
    monkeypatch.setenv("EMOFLEET_STACK_MODEL", str(tmp_path))
    evaluate(files, "--model", str(tmp_path))
    monkeypatch.setenv("SCORED_BY", "another")
    worker = f"{sys.executable} {tmp_path / 'worker.py'}"
    refused(
        run(tmp_path / "manifest.tsv", "--worker", worker, "--model", tmp_path),
        "the worker scored with the model another, not with wanted",
    )


def test_each_run_of_the_worker_has_a_folder_of_its_own(evaluate):
    # The worker of these tests refuses one in which an earlier run left files.
    report = answer("sad", 0.9, (0, 2.0, "sad", 0.0))
    found, _ = evaluate({f"{number}.wav": ("sad", "one", report) for number in range(201)})
    assert found["one"]["files"] == 201


def test_no_figures_at_all_are_a_failure(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "answers.json").write_text(json.dumps({"a.wav": "audio.corrupt"}))
    (tmp_path / "a.wav").touch()
    (tmp_path / "manifest.tsv").write_text("path\temotion\na.wav\tsad\n")
    done = run(tmp_path / "manifest.tsv", "--worker", f"{sys.executable} {tmp_path / 'worker.py'}")
    refused(done, "all 1 files failed")


def test_the_default_worker_is_that_of_a_checkout_whose_path_has_blanks(tmp_path):
    models = tmp_path / "Lin's files" / "models"
    shutil.copytree(SCRIPT.parent / "evaluation", models / "evaluation")
    shutil.copy(SCRIPT, models)
    (models.parent / "run.sh").write_text(f'#!/bin/sh\nshift\nexec {sys.executable} {tmp_path / "worker.py"} "$@"\n')
    (models.parent / "run.sh").chmod(0o755)
    (tmp_path / "worker.py").write_text(WORKER)
    report = answer("sad", 0.9, (0, 2.0, "sad", 0.0))
    (tmp_path / "answers.json").write_text(json.dumps({"a.wav": report}))
    (tmp_path / "a.wav").touch()
    (tmp_path / "manifest.tsv").write_text("path\temotion\na.wav\tsad\n")
    done = run(tmp_path / "manifest.tsv", script=models / "evaluate.sh")
    assert done.returncode == 0 and "UA 100.0 %" in done.stdout, done.stderr
