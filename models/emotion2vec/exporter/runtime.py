"""ONNX Runtime sessions as emofleet's worker opens them, and the model contract's call."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime


@dataclass(frozen=True)
class Output:
    """The contract's outputs for a batch: logits [B, 9], embedding [B, D], frames [B, T, D], frame_logits [B, T, 9]."""

    logits: np.ndarray
    embedding: np.ndarray
    frames: np.ndarray
    frame_logits: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """Softmax of the logits, [B, 9]."""
        powers = np.exp(self.logits - self.logits.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)


class Model:
    """An exported model."""

    def __init__(
        self, path: Path, threads: int, profile_prefix: str | None = None, operators: Path | None = None
    ) -> None:
        """`operators`: the library of the worker's own operators, for a model that names them."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Spinning threads take the cores from whoever else needs them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # As the worker: patterns of memory are kept for each shape, and each recording has another one.
        options.enable_mem_pattern = False
        if operators:
            options.register_custom_ops_library(str(operators))
        if profile_prefix:
            options.enable_profiling = True
            options.profile_file_prefix = profile_prefix
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, waveforms: list[np.ndarray]) -> Output:
        """Mono waveforms at 16 kHz, of any lengths from 400 samples, as one zero-padded batch."""
        lengths = np.array([len(waveform) for waveform in waveforms], dtype=np.int64)
        batch = np.zeros((len(waveforms), lengths.max()), dtype=np.float32)
        for row, waveform in zip(batch, waveforms, strict=True):
            row[: len(waveform)] = waveform
        names = ("logits", "embedding", "frames", "frame_logits")
        return Output(*self.session.run(names, {"waveform": batch, "lengths": lengths}))

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """A recording's embedding [D], by the run that a worker makes: two outputs, and memory returned."""
        run = onnxruntime.RunOptions()
        run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        inputs = {"waveform": waveform[None].astype(np.float32), "lengths": np.array([len(waveform)])}
        return self.session.run(["logits", "embedding"], inputs, run)[1][0]
