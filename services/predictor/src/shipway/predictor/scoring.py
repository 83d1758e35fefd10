"""Scoring rows with a loaded model: LightGBM's C API, single rows by its fast path, more by its batch path.

Measured per call on 100 trees with 31 leaves and 20 features: a single row 5 µs by the fast path against 14 by
the batch path; 32 rows 111 µs by the batch path against 132 by a loop of the fast one. Hence FAST_ROWS.

A row that takes microseconds is scored without letting go of the interpreter: each time, another thread (that of the
prediction log) could take it for milliseconds, and whoever waits for the scores would wait for that.
"""

import ctypes
import math
import threading
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from shipway.bundle.capi import Booster, LightGBMError, check, give_memory_back, library, row_scorer

Matrix = npt.NDArray[np.float64]
FAST_ROWS = 16
# What may be scored on the event loop, where everybody else waits for it; a thread's hand-over costs a tenth of that.
INLINE_S = 0.001
# A row up to here is scored with the interpreter held.
HELD_S = 0.00005
# Of explaining: rows times leaves times the square of the depth; about a second of one thread.
MOST_EXPLAINING = 5e8
_FLOAT64, _NORMAL = 1, 0


class _FastRow:
    """One thread's fast path: the library keeps state in it, so threads must not share one."""

    def __init__(self, booster: Booster, features: int, outputs: int) -> None:
        self.handle = ctypes.c_void_p()
        self._outputs = outputs
        self._length = ctypes.c_int64()
        check(
            library().LGBM_BoosterPredictForMatSingleRowFastInit(
                booster.handle,
                ctypes.c_int(_NORMAL),
                ctypes.c_int(0),
                ctypes.c_int(-1),
                ctypes.c_int(_FLOAT64),
                ctypes.c_int32(features),
                ctypes.c_char_p(b"num_threads=1"),
                ctypes.byref(self.handle),
            )
        )

    def score(self, rows: Matrix, held: bool) -> Matrix:
        """The scores of C-contiguous rows, one after the other; ``held``: with the interpreter held."""
        call = row_scorer(held)
        scores = np.empty((len(rows), self._outputs), np.float64)
        handle, length_at = self.handle.value, ctypes.addressof(self._length)
        row_at, stride, scores_at, width = rows.ctypes.data, 8 * rows.shape[1], scores.ctypes.data, 8 * self._outputs
        for _ in range(len(rows)):
            if status := call(handle, row_at, length_at, scores_at):
                check(status)
            row_at, scores_at = row_at + stride, scores_at + width
        return scores

    def free(self) -> None:
        check(library().LGBM_FastConfigFree(self.handle))


class Scorer:
    """A loaded model that threads may share. ``close`` waits for calls under way, then gives the memory back."""

    def __init__(self, model_text: bytes, features: int, outputs: int, explaining: float = math.inf) -> None:
        """``explaining`` is what one row's contributions cost: leaves times the square of the depth."""
        self.explainable_rows = int(MOST_EXPLAINING // max(1.0, explaining))
        self.features = features
        self.outputs = outputs
        self._booster = Booster(model_text)
        self._local = threading.local()
        self._fast_rows: list[_FastRow] = []
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._calls = 0
        self._closed = False
        self._row_s: float | None = None

    def is_quick(self, rows: int) -> bool:
        """Whether so many rows take no longer than INLINE_S, by the calls so far; the first is taken to be quick."""
        return self._row_s is None or rows * self._row_s <= INLINE_S

    def score(self, rows: Matrix) -> Matrix:
        """The scores (rows, outputs) of ``rows`` (rows, features), C-contiguous float64.

        Raises:
            LightGBMError: the model was unloaded, or the shape does not fit.
        """
        begun = time.perf_counter()
        scores = self._called(rows, self._score)
        if len(rows):
            took_s = (time.perf_counter() - begun) / len(rows)
            # Down at once and up by and by: what was slow for want of a core, once, is not slow.
            self._row_s = took_s if self._row_s is None else min(took_s, 1.5 * self._row_s)
        return scores

    def explained(self, rows: Matrix) -> Matrix:
        """The scores and after them the contributions, (rows, outputs + outputs * (features + 1)); slow.

        Raises:
            LightGBMError: as of score, or there are more rows than ``explainable_rows``.
        """
        if len(rows) > self.explainable_rows:
            raise LightGBMError(f"of this model {self.explainable_rows} rows can be explained at once, not {len(rows)}")
        return self._called(
            rows, lambda rows: np.hstack([self._score(rows), self._booster.contributions(rows, self.outputs)])
        )

    def _score(self, rows: Matrix) -> Matrix:
        return self._booster.predict(rows, self.outputs) if len(rows) >= FAST_ROWS else self._score_fast(rows)

    def _called(self, rows: Matrix, call: Callable[[Matrix], Matrix]) -> Matrix:
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise LightGBMError(f"rows of shape {rows.shape}; the model has {self.features} features")
        with self._lock:
            if self._closed:
                raise LightGBMError("the model was unloaded")
            self._calls += 1
        try:
            return call(rows)
        finally:
            with self._lock:
                self._calls -= 1
                if self._closed:
                    self._idle.notify_all()

    def close(self) -> None:
        """Waits for calls under way and frees the model. Calling it again does nothing."""
        with self._idle:
            if self._closed:
                return
            self._closed = True
            self._idle.wait_for(lambda: self._calls == 0)
        for fast in self._fast_rows:
            fast.free()
        self._fast_rows.clear()
        self._booster.close()
        give_memory_back()

    def _score_fast(self, rows: Matrix) -> Matrix:
        fast: _FastRow | None = getattr(self._local, "fast", None)
        if fast is None:
            fast = self._local.fast = _FastRow(self._booster, self.features, self.outputs)
            with self._lock:
                self._fast_rows.append(fast)
        return fast.score(rows, self._row_s is not None and self._row_s <= HELD_S)
