"""Proving the structure of a LightGBM text model before LightGBM sees it, because its loader is not memory-safe.

A truncated file aborts the process, an index out of range crashes at prediction, a cyclic tree never ends
(LightGBM issues 7357, 7437, 7438). The format is that of LightGBM's ``GBDT::SaveModelToString``, version v4;
what it does not write is refused. How lines and numbers are read: modeltext; a single tree: modeltree.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shipway.bundle.modeltext import Block, Fields, check_characters, count_of, integers, read_fields, required
from shipway.bundle.modeltree import check_trees
from shipway.contract.errors import InvalidField

_ONE_OUTPUT = {
    *("binary", "cross_entropy", "regression", "regression_l1", "huber", "fair", "poisson", "quantile", "mape"),
    *("gamma", "tweedie", "lambdarank", "rank_xendcg"),
}
_MANY_OUTPUTS = {"multiclass", "multiclassova"}
_OPTION = re.compile(r"sqrt|num_class:[0-9]{1,9}|sigmoid:[0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[-+][0-9]{1,2})?")
_FLAGS = {"average_output"}
_HEADER = _FLAGS | {
    *("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective"),
    *("feature_names", "monotone_constraints", "feature_infos", "tree_sizes"),
}
_TOGETHER_BYTES = 4_000_000
_FIRST_TREE = b"\n\nTree=0\n"
_END = b"end of trees\n"
_AFTER_TREES = (b"\nfeature_importances:\n", b"\nparameters:\n")
_LINEAR = re.compile(rb"^\[linear_tree: (?!0\])", re.MULTILINE)


@dataclass(frozen=True)
class ModelLimits:
    """The largest model that is looked at. ``text_bytes`` is for what stands before and after the trees, each."""

    bytes: int = 500_000_000
    text_bytes: int = 20_000_000
    trees: int = 100_000
    leaves_per_tree: int = 131_072


@dataclass(frozen=True)
class ModelFacts:
    """What the proof found: so many trees and leaves in all; ``depth`` is the deepest tree's."""

    trees: int
    leaves: int
    objective: str
    depth: int


def check_model_text(data: bytes, *, features: int, outputs: int, limits: ModelLimits | None = None) -> ModelFacts:
    """Proves that the model is whole and that every index in it stays within bounds.

    Args:
        data: the text model.
        features: how many features the signature has.
        outputs: how many numbers a row gets.
        limits: the largest model that is looked at.

    Raises:
        Permanent: it is not such a model; the message names the place.
    """
    limits = limits or ModelLimits()
    if len(data) > limits.bytes:
        raise InvalidField("model.txt", f"has {len(data)} bytes; the limit is {limits.bytes}")
    begin = data.find(_FIRST_TREE, 0, limits.text_bytes)
    if begin < 0 or not data.startswith(b"tree\n"):
        raise InvalidField("model.txt", "does not begin like a LightGBM text model with a tree")
    head = data[len(b"tree\n") : begin + 1]
    check_characters(head, "model.txt")
    header = read_fields(head, "model.txt", _HEADER, _FLAGS)
    objective = _check_header(header, features, outputs)
    trees = count_of(required(header, "tree_sizes", "model.txt"))
    if not 1 <= trees <= limits.trees or trees % outputs:
        raise InvalidField("tree_sizes", f"{trees} trees do not fit {outputs} outputs, or are too many")
    sizes = integers([Block("model.txt", header)], "tree_sizes", np.array([trees])).values.tolist()
    leaves, depth, at = 0, 0, begin + 2
    for first, texts in _together(data, at, sizes):
        found = check_trees(texts, first, features, limits.leaves_per_tree)
        leaves, depth = leaves + found.leaves, max(depth, found.depth)
        at += sum(map(len, texts))
    if not data.startswith(_END, at):
        raise InvalidField("model.txt", "the trees do not end where tree_sizes says: it is truncated or was changed")
    _check_tail(data[at + len(_END) :], limits)
    return ModelFacts(trees, leaves, objective, depth)


def _together(data: bytes, at: int, sizes: Sequence[int]) -> Iterator[tuple[int, list[bytes]]]:
    """The trees from ``at`` on, in parts that are small beside the file; with the number of each part's first."""
    first, texts, room = 0, list[bytes](), _TOGETHER_BYTES
    for number, size in enumerate(sizes):
        if not 1 <= size <= len(data) - at:
            raise InvalidField(f"tree_sizes[{number}]", "does not fit the file: it is truncated or was changed")
        if texts and size > room:
            yield first, texts
            first, texts, room = number, [], _TOGETHER_BYTES
        texts.append(data[at : at + size])
        at, room = at + size, room - size
    yield first, texts


def _check_header(header: Fields, features: int, outputs: int) -> str:
    wanted = {
        "version": "v4",
        "num_class": str(outputs),
        "num_tree_per_iteration": str(outputs),
        "max_feature_idx": str(features - 1),
        "label_index": "0",
    }
    for key, value in wanted.items():
        if header.get(key) != value.encode():
            found = header.get(key, b"missing")[:60].decode("utf-8", "replace")
            raise InvalidField(key, f"is {found!r}; the signature wants {value!r}")
    if header.get("average_output"):
        raise InvalidField("average_output", "has no value")
    for key in ("feature_names", "feature_infos", "monotone_constraints"):
        if key == "monotone_constraints" and key not in header:
            continue
        entries = required(header, key, "model.txt")
        if count_of(entries) != features or b"" in entries.split(b" "):
            raise InvalidField(key, f"does not have {features} entries with one space between")
    return _check_objective(required(header, "objective", "model.txt").decode("utf-8"), outputs)


def _check_objective(text: str, outputs: int) -> str:
    """LightGBM writes ``num_class`` outputs of a multiclass objective, whatever room there is for them."""
    name, *options = text[:200].split(" ")
    if name not in _ONE_OUTPUT | _MANY_OUTPUTS | {"custom"}:
        raise InvalidField("objective", f"{name!r:.60} is not known here")
    for option in options:
        if not _OPTION.fullmatch(option):
            raise InvalidField("objective", f"the option {option!r:.60} is not known here")
        if option.startswith("num_class:") and option != f"num_class:{outputs}":
            raise InvalidField("objective", f"{option!r:.60}; the signature wants {outputs} classes")
    if name in _MANY_OUTPUTS and f"num_class:{outputs}" not in options:
        raise InvalidField("objective", f"{text!r:.60} needs num_class:{outputs}")
    if name in _ONE_OUTPUT and outputs != 1:
        raise InvalidField("objective", f"{name!r} gives one output; the signature wants {outputs}")
    return name


def _check_tail(tail: bytes, limits: ModelLimits) -> None:
    if len(tail) > limits.text_bytes:
        raise InvalidField("model.txt", f"has {len(tail)} bytes after the trees; the limit is {limits.text_bytes}")
    check_characters(tail, "model.txt, after the trees")
    if tail and not tail.startswith(_AFTER_TREES):
        raise InvalidField("model.txt", "holds something unknown after the trees")
    begins, ends = tail.count(b"\nparameters:\n"), tail.count(b"\nend of parameters\n")
    if begins != ends or begins > 1 or b"\nTree=" in tail:
        raise InvalidField("model.txt", "the section after the trees is not whole")
    if _LINEAR.search(tail):
        raise InvalidField("parameters.linear_tree", "linear trees are not served")
