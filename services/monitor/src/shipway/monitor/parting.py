"""Names the parts of the traffic that a logged prediction is in, by its features as the history has them. Pure."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from shipway.contract.signature import Signature
from shipway.monitor.slices import MISSING, OTHER, Slicing


class Parting:
    """Of one version. A category that was not known in training is null in the history: it counts as missing."""

    def __init__(self, signature: Signature, slicings: Sequence[Slicing]) -> None:
        self._edges: dict[str, tuple[list[float], list[str]]] = {}
        self._names: dict[str, dict[str, str]] = {}
        for cut in slicings:
            feature = signature.features[cut.place]
            if cut.codes is None:
                self._edges[cut.name] = (cut.edges.tolist(), cut.names)
            else:
                texts = feature.categories if feature.type == "category" else ["false", "true"]
                known = zip(texts, cut.codes.tolist(), strict=True)
                self._names[cut.name] = {text: cut.names[code] for text, code in known}

    def of(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The parts of a row, as ``carrier=WN``; none where none of these features is in the log."""
        if all(row.get(name) is None for name in (*self._edges, *self._names)):
            return ()
        found = [f"{name}={self._of_number(name, row.get(name))}" for name in self._edges]
        return (*found, *(f"{name}={self._of_text(name, row.get(name))}" for name in self._names))

    def _of_number(self, name: str, value: float | None) -> str:
        edges, names = self._edges[name]
        return MISSING if value is None else names[bisect_right(edges, value)]

    def _of_text(self, name: str, value: str | bool | None) -> str:
        if value is None:
            return MISSING
        text = str(value).lower() if isinstance(value, bool) else value
        return self._names[name].get(text, OTHER)
