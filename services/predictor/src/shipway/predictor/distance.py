"""How far the scores of one version lie from another's for the same rows, 0 to 1 a row. Pure."""

import numpy as np
import numpy.typing as npt

from shipway.contract.rows import Matrix
from shipway.contract.signature import OutputKind

Scores = npt.NDArray[np.float64]


def distances(
    output: OutputKind, ours: Matrix, theirs: Matrix, requests: npt.NDArray[np.generic] | None = None
) -> npt.NDArray[np.float64]:
    """The distance of each row (rows,) of scores (rows, outputs); 1 where a score is no number.

    Of probabilities the total variation: half of the differences over all classes. Of regression the difference over
    the sum of both sizes (Lance and Williams 1967), which needs no scale. Of a ranking that of the orders of the rows
    of a request, the same for each of them; ``requests`` (rows,) names each row's, by default all are one's.
    """
    if output == "ranking":
        return _of_orders(ours[:, 0], theirs[:, 0], np.zeros(len(ours)) if requests is None else requests)
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


def _of_orders(ours: Scores, theirs: Scores, requests: npt.NDArray[np.generic]) -> Scores:
    """Spearman's footrule of each request's two orders, of the most that it can be (Diaconis and Graham 1977)."""
    _, request, sizes = np.unique(requests, return_inverse=True, return_counts=True)
    moved = np.abs(_places(ours, request) - _places(theirs, request))
    most = sizes**2 // 2
    found = np.divide(np.bincount(request, moved), most, out=np.zeros(len(sizes)), where=most > 0)[request]
    return np.where(np.isfinite(ours) & np.isfinite(theirs), found, 1.0)


def _places(scores: Scores, request: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each row's place in the order of its request, of all rows by request."""
    places = np.empty(len(scores), np.int64)
    places[np.lexsort((-scores, request))] = np.arange(len(scores))
    return places
