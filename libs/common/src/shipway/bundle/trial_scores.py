"""What a model gave in its trial: read without trust in who wrote it, and held against the golden scores."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from shipway.contract.errors import Permanent

Matrix = npt.NDArray[np.float64]
RTOL, ATOL = 1e-6, 1e-9


def read_scores(path: Path, shape: tuple[int, ...]) -> Matrix:
    """What the child wrote, if it is a float64 array of this shape; the file's own word on its size is not believed.

    Raises:
        Permanent: it is not.
    """
    try:
        # Mapped, so that a forged header can neither take memory nor have anything unpickled.
        scores = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, TypeError, OverflowError) as err:
        raise Permanent("trial: the model left no readable scores") from err
    if not isinstance(scores, np.ndarray) or scores.dtype != np.float64:
        raise Permanent("trial: the model left something else than scores")
    if scores.shape != shape:
        raise Permanent(f"trial: gave scores of shape {scores.shape}; {shape} was expected")
    return np.array(scores)


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
