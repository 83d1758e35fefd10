"""What a model gave in its trial: read without trust in who wrote it, and held against the golden scores."""

import math
import os
import stat
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from shipway.contract.errors import Permanent

Matrix = npt.NDArray[np.float64]
RTOL, ATOL = 1e-6, 1e-9


def open_left(path: Path) -> BinaryIO:
    """Opens a file that the child left; nothing else that it may have put there, of which a pipe would never end.

    Raises:
        OSError: it is none, or can't be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{path.name} is no file")
    return os.fdopen(file, "rb")


def read_scores(path: Path, shape: tuple[int, ...]) -> Matrix:
    """What the child wrote, the bytes of float64 numbers, if they are as many as an array of this shape has.

    Raises:
        Permanent: they are not.
    """
    size = 8 * math.prod(shape)
    try:
        with open_left(path) as file:
            written = file.read(size + 1)
    except OSError as err:
        raise Permanent("trial: the model left no readable scores") from err
    if len(written) != size:
        raise Permanent(f"trial: the model did not leave the {size} bytes that scores of shape {shape} have")
    return np.frombuffer(written).reshape(shape).copy()


def compare(scores: Matrix, golden: Matrix) -> None:
    """Holds scores against the golden ones. NaN equals nothing.

    Raises:
        Permanent: with the first row that differs.
    """
    if scores.shape != golden.shape:
        raise Permanent(f"trial: gave scores of shape {scores.shape}; {golden.shape} was expected")
    wrong = ~np.isclose(scores, golden, rtol=RTOL, atol=ATOL).all(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise Permanent(f"trial: golden row {row} gave {scores[row].tolist()}; {golden[row].tolist()} was expected")
