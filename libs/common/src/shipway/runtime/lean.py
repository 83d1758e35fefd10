"""Keeping pandas out of processes that don't use it.

PyArrow and LightGBM import it wherever it is installed: PyArrow at the first array made from Python values, which
in a server means a second of standstill in the middle of its work, and 60 MB.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    """Says that pandas is not installed."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Raises ModuleNotFoundError for pandas, and leaves other modules to others."""
        if fullname.partition(".")[0] == "pandas":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextmanager
def without_pandas() -> Iterator[None]:
    """What is imported within takes pandas for not installed."""
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def spare_pandas() -> None:
    """Lets PyArrow find now, once and for all, that it has no pandas."""
    if "pandas" in sys.modules:
        return
    with without_pandas():
        import pyarrow as pa

        pa.array([0])
