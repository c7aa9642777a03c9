"""The files of a checkpoint: where they are, which weights the network needs at inference, and nothing else."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from .errors import ExportError


@dataclass(frozen=True)
class CheckpointFiles:
    """Paths inside a downloaded model folder (ModelScope's and Hugging Face's are laid out alike)."""

    folder: Path
    config: Path
    weights: Path
    tokens: Path

    @property
    def example(self) -> Path:
        """Upstream's sample, for which the answer of the real weights is known."""
        return self.folder / "example" / "test.wav"


def locate(folder: Path) -> CheckpointFiles:
    """Finds config, weights and tokens; ModelScope's configuration.json may rename them."""
    names = {"config": "config.yaml", "weights": "model.pt", "tokens": "tokens.txt"}
    configuration = folder / "configuration.json"
    if configuration.exists():
        metas = json.loads(configuration.read_text(encoding="utf-8")).get("file_path_metas", {})
        names["config"] = metas.get("config", names["config"])
        names["weights"] = metas.get("init_param", names["weights"])
        names["tokens"] = metas.get("tokenizer_conf", {}).get("token_list", names["tokens"])
    paths = {role: folder / name for role, name in names.items()}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise ExportError(
            f"{folder} holds no {', '.join(missing)}: give the folder of a complete download of an emotion2vec+ model "
            "(config.yaml, model.pt, tokens.txt), or the model's name on the hub."
        )
    return CheckpointFiles(folder, **paths)


def read_config(files: CheckpointFiles) -> dict:
    """config.yaml as dictionaries, by FunASR's own reader, which reads `1e-05` as a number (YAML alone does not)."""
    return OmegaConf.to_container(OmegaConf.load(files.config), resolve=True)


class Weights:
    """The checkpoint's tensors by the names of FunASR's Emotion2vec module, as float32 arrays.

    Remembers which were asked for, so that the report can say what was left behind:
    the pre-training decoder, the EMA copy, optimiser state.
    """

    def __init__(self, path: Path, scope_map: list[str]) -> None:
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as failure:  # of the archive, the pickle or the file
            raise ExportError(
                f"{path} can't be read as a checkpoint ({type(failure).__name__}): "
                "the download is incomplete or damaged. Download it again."
            ) from failure
        # FunASR unwraps these in this order, each if present.
        for wrapper in ("state_dict", "model_state_dict", "model"):
            stored = stored.get(wrapper, stored)
        self._stored = {name: value for name, value in stored.items() if isinstance(value, torch.Tensor)}
        self._path = path
        sources = [*scope_map[0::2], "module."]
        self._prefixes = ["", *("" if source.lower() == "none" else source for source in sources)]
        self._taken: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        stored = next((prefix + name for prefix in self._prefixes if prefix + name in self._stored), None)
        if stored is None:
            raise ExportError(
                f"{self._path} has no {name}: it is not an emotion2vec+ checkpoint with its "
                "classifier head, or the download is damaged. "
                "emotion2vec_base without 'plus' has no head; use emotion2vec_plus_large, _base or _seed."
            )
        self._taken.add(stored)
        return self._stored[stored].detach().to(torch.float32).numpy()

    def taken(self) -> int:
        """Parameters that were asked for."""
        return sum(self._stored[name].numel() for name in self._taken)

    def left_behind(self) -> int:
        """Parameters in the file that inference does not need."""
        return sum(value.numel() for name, value in self._stored.items() if name not in self._taken)
