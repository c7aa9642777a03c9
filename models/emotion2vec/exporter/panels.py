"""Weights as the worker's own operators read them: in panels of columns."""

import numpy as np

# Columns of a panel, as in crates/speech/src/model/operators/product/mod.rs.
PANEL = 32


def panels(weight: np.ndarray, group: int) -> np.ndarray:
    """[in, out] -> [out / PANEL, in / group, PANEL, group], filled up with zeros.

    One instruction multiplies a group of successive inputs with as many weights of each of 16 outputs, which are
    neighbours here.
    """
    inputs, outputs = (-(-size // unit) * unit for size, unit in zip(weight.shape, (group, PANEL), strict=True))
    whole = np.zeros((inputs, outputs), dtype=weight.dtype)
    whole[: weight.shape[0], : weight.shape[1]] = weight
    return whole.reshape(inputs // group, group, outputs // PANEL, PANEL).transpose(2, 0, 3, 1)
