"""The models that the worker's own tests load are those that this exporter writes."""

import json

import numpy as np
import onnx
import pytest
import worker_models
from exporter.card import sha256
from onnx import numpy_helper

MAKE_THEM = (
    "the exporter writes other models than those in worker/tests/models: make them anew with tests/worker_models.py"
)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker_models")
    worker_models.write(folder)
    return folder


@pytest.mark.parametrize("name", worker_models.MODELS)
def test_the_committed_models_are_the_exporters(fresh, name):
    committed, written = (onnx.load(folder / name / "model.onnx").graph for folder in (worker_models.FOLDER, fresh))

    assert list(committed.node) == list(written.node), MAKE_THEM
    assert [value.name for value in committed.initializer] == [value.name for value in written.initializer], MAKE_THEM
    for ours, theirs in zip(committed.initializer, written.initializer, strict=True):
        ours, theirs = numpy_helper.to_array(ours), numpy_helper.to_array(theirs)
        # Random numbers may differ in the last digit from processor to processor, and roundings with them.
        step = 1e-5 if ours.dtype == np.float32 else 1
        np.testing.assert_allclose(ours.astype(np.float64), theirs.astype(np.float64), atol=step, err_msg=MAKE_THEM)


@pytest.mark.parametrize("name", worker_models.MODELS)
def test_the_committed_cards_are_the_exporters(fresh, name):
    committed, written = (
        json.loads((folder / name / "model.json").read_text()) for folder in (worker_models.FOLDER, fresh)
    )

    assert committed.pop("sha256") == sha256(worker_models.FOLDER / name / "model.onnx")
    written.pop("sha256")
    assert committed == written, MAKE_THEM


def test_the_committed_answers_are_funasrs(fresh):
    committed, written = (json.loads((folder / "funasr.json").read_text()) for folder in (worker_models.FOLDER, fresh))

    assert [answer["samples"] for answer in committed] == [answer["samples"] for answer in written]
    for ours, theirs in zip(committed, written, strict=True):
        np.testing.assert_allclose(ours["scores"], theirs["scores"], atol=1e-5)
        np.testing.assert_allclose(ours["embedding"], theirs["embedding"], atol=1e-5)
