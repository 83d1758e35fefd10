"""How far the scores of one version lie from another's for the same rows, 0 to 1 a row. Pure."""

import numpy as np
import numpy.typing as npt

from shipway.contract.rows import Matrix
from shipway.contract.signature import OutputKind


def distances(output: OutputKind, ours: Matrix, theirs: Matrix) -> npt.NDArray[np.float64]:
    """The distance of each row (rows,) of scores (rows, outputs); 1 where a score is no number.

    Of probabilities the total variation: half of the differences over all classes. Of regression the difference over
    the sum of both sizes (Lance and Williams 1967), which needs no scale.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(ours - theirs)
        if output == "binary":
            found = apart[:, 0]
        elif output == "multiclass":
            found = apart.sum(axis=1) / 2
        else:
            size = np.abs(ours[:, 0]) + np.abs(theirs[:, 0])
            found = np.divide(apart[:, 0], size, out=np.zeros(len(ours)), where=size > 0)
    return np.asarray(np.clip(np.nan_to_num(found, nan=1.0), 0.0, 1.0), np.float64)
