"""What the exporter does not take, and that it says why and what to do."""

import numpy as np
import pytest
import random_checkpoint
import soundfile
import torch
import yaml
from exporter.check import compare
from exporter.export import main
from exporter.reference import Reference
from exporter.runtime import Model
from exporter.speech import read, synthesise


def refused(checkpoint, out, capsys) -> str:
    """The sentence the command ends with; no model.json may be left for a worker to find."""
    assert main([str(checkpoint), "--out", str(out), "--threads", "1"]) == 1
    assert not (out / "model.json").exists()
    return capsys.readouterr().err


def test_an_old_label_cache_is_refused_with_what_to_do(checkpoint, tmp_path, capsys):
    tokens = [
        f"unuse_{index}" if index in (1, 2, 5, 7) else token for index, token in enumerate(random_checkpoint.TOKENS)
    ]
    (checkpoint / "tokens.txt").write_text("\n".join(tokens), encoding="utf-8")

    sentence = refused(checkpoint, tmp_path / "out", capsys)

    assert "unuse_1" in sentence
    assert "download it again" in sentence


def test_labels_in_another_order_are_refused(checkpoint, tmp_path, capsys):
    (checkpoint / "tokens.txt").write_text("\n".join(reversed(random_checkpoint.TOKENS)), encoding="utf-8")

    assert "in this order" in refused(checkpoint, tmp_path / "out", capsys)


def test_a_checkpoint_without_classifier_is_refused(checkpoint, tmp_path, capsys):
    stored = torch.load(checkpoint / "model.pt", weights_only=True)
    del stored["model"]["proj.weight"]
    torch.save(stored, checkpoint / "model.pt")

    assert "has no proj.weight" in refused(checkpoint, tmp_path / "out", capsys)


def test_an_incomplete_download_is_refused(checkpoint, tmp_path, capsys):
    (checkpoint / "model.pt").unlink()

    assert "holds no model.pt" in refused(checkpoint, tmp_path / "out", capsys)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer_norm_first", True),
        ("modalities.audio.use_alibi_encoder", False),
        ("modalities.audio.learned_alibi_scale_per_layer", True),
    ],
)
def test_another_variant_of_the_network_is_refused(checkpoint, tmp_path, capsys, key, value):
    config = yaml.safe_load((checkpoint / "config.yaml").read_text())
    *path, last = key.split(".")
    section = config["model_conf"]
    for name in path:
        section = section[name]
    section[last] = value
    (checkpoint / "config.yaml").write_text(yaml.safe_dump(config))

    assert f"{last} = {value}" in refused(checkpoint, tmp_path / "out", capsys)


def test_something_that_is_no_checkpoint_is_refused(tmp_path, capsys):
    assert "neither a folder nor a model's name" in refused("no/such/thing", tmp_path / "out", capsys)


def test_random_weights_do_not_pass_for_the_published_ones(checkpoint, tmp_path, capsys):
    (checkpoint / "example").mkdir()
    soundfile.write(checkpoint / "example" / "test.wav", np.random.default_rng(0).normal(0, 0.1, 48_000), 16_000)

    sentence = refused(checkpoint, tmp_path / "out", capsys)

    assert "does not answer as FunASR does" in sentence


def test_a_model_of_other_weights_fails_the_checks(checkpoint, tmp_path):
    out = tmp_path / "out"
    assert main([str(checkpoint), "--out", str(out), "--threads", "1"]) == 0
    other = random_checkpoint.build(tmp_path / "other", random_checkpoint.NARROW_POWER_OF_TWO, seed=1)
    recordings = [read(path) for path in synthesise(tmp_path, [0.8, 2.0])]

    findings = compare(Model(out / "model.onnx", 1), Reference(other, 1), recordings)

    failed = {finding.what for finding in findings if not finding.passed}
    assert "scores, against FunASR" in failed
    assert "features of each frame, against FunASR" in failed
