"""The export without graph work, for comparison: FunASR's own module traced as it stands.

`python -m measure.plain CHECKPOINT OUT.onnx [--seconds 10]`. It takes one recording of exactly the traced length.
"""

import argparse
import logging
from pathlib import Path

import torch
from exporter.reference import Reference
from exporter.speech import SAMPLE_RATE


class Plain(torch.nn.Module):
    """Normalisation, features, pooling and head, by FunASR's modules."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, waveform: torch.Tensor):
        waveform = torch.nn.functional.layer_norm(waveform, waveform.shape[1:])
        frames = self._network.extract_features(waveform, padding_mask=None)["x"]
        embedding = frames.mean(dim=1)
        return self._network.proj(embedding), embedding, frames, self._network.proj(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    network = Reference(options.checkpoint, threads=1).network
    example = torch.zeros(1, round(options.seconds * SAMPLE_RATE))
    names = ["logits", "embedding", "frames", "frame_logits"]
    torch.onnx.export(
        Plain(network),
        (example,),
        options.out,
        input_names=["waveform"],
        output_names=names,
        opset_version=17,
        dynamo=False,
    )


if __name__ == "__main__":
    main()
