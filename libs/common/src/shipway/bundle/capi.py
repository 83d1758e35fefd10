"""LightGBM's C library through ctypes, without its Python package, whose imports cost a second and 100 MB.

Only what loading and scoring need. Function signatures: LightGBM's ``c_api.h``.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
_FLOAT64 = 1
_NORMAL, _CONTRIBUTIONS = 0, 3


class LightGBMError(Exception):
    """What the library says is wrong."""


@cache
def library() -> ctypes.CDLL:
    """The loaded library.

    Raises:
        LightGBMError: the lightgbm package is not installed.
    """
    found = find_spec("lightgbm")
    if found is None or found.origin is None:
        raise LightGBMError("the lightgbm package is not installed")
    lib = ctypes.CDLL(str(Path(found.origin).parent / "lib" / "lib_lightgbm.so"))
    lib.LGBM_GetLastError.restype = ctypes.c_char_p
    return lib


def check(status: int) -> None:
    """Raises what the library says, unless ``status`` is 0."""
    if status != 0:
        raise LightGBMError(library().LGBM_GetLastError().decode("utf-8", "replace"))


@cache
def row_scorer(held: bool) -> Callable[[int | None, int, int, int], int]:
    """Scores a row by the fast path, told by addresses (config, row, length, scores), which ctypes passes as they are.

    ``held``: the interpreter is not let go of meanwhile. Gives a status for ``check``.
    """
    prototype = (ctypes.PYFUNCTYPE if held else ctypes.CFUNCTYPE)(ctypes.c_int, *[ctypes.c_void_p] * 4)
    found: Callable[[int | None, int, int, int], int] = prototype(("LGBM_BoosterPredictForMatSingleRowFast", library()))
    return found


def use_one_thread() -> None:
    """Lets the library work in the calling thread alone: threads of its own wait for each other by spinning.

    Loading 1 MB took 7.9 ms of CPU on two cores with them, and 4.5 without.
    """
    check(library().LGBM_SetMaxThreads(ctypes.c_int(1)))


def give_memory_back() -> None:
    """Returns freed memory to the machine, where the C library keeps it otherwise (glibc does). Takes milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Booster:
    """A loaded model. ``close`` gives its memory back; it must not be used after that."""

    def __init__(self, model_text: bytes) -> None:
        self.handle = ctypes.c_void_p()
        iterations = ctypes.c_int()
        text = ctypes.c_char_p(model_text)
        check(library().LGBM_BoosterLoadModelFromString(text, ctypes.byref(iterations), ctypes.byref(self.handle)))

    def predict(self, rows: Matrix, outputs: int, threads: int = 1) -> Matrix:
        """The scores (rows, outputs) of ``rows`` (rows, features), C-contiguous float64.

        Raises:
            LightGBMError: the shapes do not fit the model.
        """
        return self._predict(rows, _NORMAL, outputs, threads)

    def contributions(self, rows: Matrix, outputs: int) -> Matrix:
        """SHAP values (rows, outputs * (features + 1)): for each output a number a feature, and the base at the end.

        They add up to the raw score (for classes the log-odds). The time grows with leaves and the square of the depth.

        Raises:
            LightGBMError: the shapes do not fit the model.
        """
        return self._predict(rows, _CONTRIBUTIONS, outputs * (rows.shape[1] + 1), 1)

    def _predict(self, rows: Matrix, kind: int, outputs: int, threads: int) -> Matrix:
        scores = np.empty((rows.shape[0], outputs), np.float64)
        length = ctypes.c_int64()
        check(
            library().LGBM_BoosterPredictForMat(
                self.handle,
                rows.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_int(_FLOAT64),
                ctypes.c_int32(rows.shape[0]),
                ctypes.c_int32(rows.shape[1]),
                ctypes.c_int(1),
                ctypes.c_int(kind),
                ctypes.c_int(0),
                ctypes.c_int(-1),
                ctypes.c_char_p(f"num_threads={threads}".encode()),
                ctypes.byref(length),
                scores.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
            )
        )
        if length.value != scores.size:
            raise LightGBMError(f"the model gave {length.value} numbers; {scores.size} were expected")
        return scores

    def close(self) -> None:
        """Frees the model."""
        if self.handle:
            check(library().LGBM_BoosterFree(self.handle))
            self.handle = ctypes.c_void_p()
