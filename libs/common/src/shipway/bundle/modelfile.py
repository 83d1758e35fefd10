"""Proving the structure of a LightGBM text model before LightGBM sees it, because its loader is not memory-safe.

A truncated file aborts the process, an index out of range crashes at prediction, a cyclic tree never ends
(LightGBM issues 7357, 7437, 7438). The format is that of LightGBM's ``GBDT::SaveModelToString`` and
``Tree::ToString``, version v4; what it does not write is refused.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shipway.contract.errors import InvalidField

Ints = npt.NDArray[np.int64]
_OBJECTIVES = {
    *("binary", "cross_entropy", "multiclass", "multiclassova", "regression", "regression_l1", "huber", "fair"),
    *("poisson", "quantile", "mape", "gamma", "tweedie", "lambdarank", "rank_xendcg", "custom"),
}
_HEADER = {
    *("version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective"),
    *("average_output", "feature_names", "monotone_constraints", "feature_infos", "tree_sizes"),
}
_NODE_FIELDS = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child")
_NODE_EXTRAS = ("internal_value", "internal_weight", "internal_count")
_LEAF_FIELDS = ("leaf_value", "leaf_weight", "leaf_count")
_TREE_FIELDS = frozenset(
    (
        *_NODE_FIELDS,
        *_NODE_EXTRAS,
        *_LEAF_FIELDS,
        "num_leaves",
        "num_cat",
        "cat_boundaries",
        "cat_threshold",
        "is_linear",
        "shrinkage",
    )
)
_CATEGORICAL = 1
_END = b"end of trees\n"


@dataclass(frozen=True)
class ModelLimits:
    """The largest model that is looked at."""

    bytes: int = 500_000_000
    trees: int = 100_000
    leaves_per_tree: int = 131_072


@dataclass(frozen=True)
class ModelFacts:
    """What the proof found: so many trees and leaves in all."""

    trees: int
    leaves: int
    objective: str


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
    try:
        data.decode("ascii" if data.isascii() else "utf-8")
    except UnicodeDecodeError as err:
        raise InvalidField("model.txt", f"is not text: {err.reason} at byte {err.start}") from err
    if b"\x00" in data:
        raise InvalidField("model.txt", "holds a zero byte")
    head, separator, _ = data.partition(b"\n\nTree=0\n")
    if not separator or not head.startswith(b"tree\n"):
        raise InvalidField("model.txt", "does not begin like a LightGBM text model with a tree")
    header = _lines(head[len(b"tree\n") :], "model.txt", _HEADER)
    objective = _check_header(header, features, outputs)
    sizes = _integers(header, "tree_sizes", "model.txt")
    if not 1 <= len(sizes) <= limits.trees or len(sizes) % outputs:
        raise InvalidField("tree_sizes", f"{len(sizes)} trees do not fit {outputs} outputs, or are too many")
    if sizes.min() < 1 or int(sizes.sum()) > len(data):
        raise InvalidField("tree_sizes", "do not fit the file: it is truncated or was changed")
    trees = data[len(head) + 2 :]
    leaves, at = 0, 0
    for number, size in enumerate(sizes.tolist()):
        leaves += _check_tree(trees[at : at + size], number, features, limits)
        at += size
    if not trees[at:].startswith(_END):
        raise InvalidField("model.txt", "the trees do not end where tree_sizes says: it is truncated or was changed")
    _check_tail(trees[at + len(_END) :])
    return ModelFacts(len(sizes), leaves, objective)


def _check_header(header: Mapping[str, str], features: int, outputs: int) -> str:
    wanted = {
        "version": "v4",
        "num_tree_per_iteration": str(outputs),
        "max_feature_idx": str(features - 1),
        "label_index": "0",
    }
    for key, value in wanted.items():
        if header.get(key) != value:
            raise InvalidField(key, f"is {header.get(key, 'missing')!r:.60}; the signature wants {value!r}")
    if header.get("num_class") not in ("1", str(outputs)):
        raise InvalidField("num_class", f"is {header.get('num_class')!r:.60}; the signature wants {outputs}")
    for key in ("feature_names", "feature_infos"):
        if len(header.get(key, "").split(" ")) != features:
            raise InvalidField(key, f"does not have {features} entries")
    if "monotone_constraints" in header and len(header["monotone_constraints"].split(" ")) != features:
        raise InvalidField("monotone_constraints", f"does not have {features} entries")
    objective = header.get("objective", "")
    name, *options = objective.split(" ") if objective else ["missing"]
    if name not in _OBJECTIVES:
        raise InvalidField("objective", f"{name!r:.60} is not known here")
    for option in options:
        key, _, value = option.partition(":")
        if key == "num_class" and value != str(outputs):
            raise InvalidField("objective", f"{option!r:.60}; the signature wants {outputs} classes")
    if name in ("multiclass", "multiclassova") and f"num_class:{outputs}" not in options:
        raise InvalidField("objective", f"{objective!r:.60} needs num_class:{outputs}")
    return name


def _check_tree(block: bytes, number: int, features: int, limits: ModelLimits) -> int:
    where = f"tree[{number}]"
    first, _, rest = block.partition(b"\n")
    if first != f"Tree={number}".encode() or not block.endswith(b"\n\n\n"):
        raise InvalidField(where, "is not where tree_sizes says: the file is truncated or was changed")
    tree = _lines(rest[:-2], where, _TREE_FIELDS)
    leaves = _integer(tree, "num_leaves", where)
    if not 1 <= leaves <= limits.leaves_per_tree:
        raise InvalidField(f"{where}.num_leaves", f"{leaves} is not in 1 to {limits.leaves_per_tree}")
    if tree.get("is_linear", "0") != "0":
        raise InvalidField(f"{where}.is_linear", "linear trees are not served")
    _numbers(tree, "leaf_value", where, leaves)
    _finite(tree.get("shrinkage", "1"), f"{where}.shrinkage")
    if leaves == 1:
        if any(tree.get(key) for key in (*_NODE_FIELDS, "cat_threshold")) or _integer(tree, "num_cat", where):
            raise InvalidField(where, "has one leaf, but nodes too")
        return 1
    nodes = leaves - 1
    for key in ("leaf_weight", "leaf_count"):
        _numbers(tree, key, where, leaves)
    for key in ("split_gain", *_NODE_EXTRAS):
        _numbers(tree, key, where, nodes)
    _check_splits(tree, where, nodes, features)
    _check_children(tree, where, nodes)
    return leaves


def _check_splits(tree: Mapping[str, str], where: str, nodes: int, features: int) -> None:
    split_feature = _sized(_integers(tree, "split_feature", where), nodes, f"{where}.split_feature")
    _within(split_feature, 0, features - 1, f"{where}.split_feature")
    decision = _sized(_integers(tree, "decision_type", where), nodes, f"{where}.decision_type")
    _within(decision, 0, 15, f"{where}.decision_type")
    # LightGBM's own: "inf" divides what is there from what is missing.
    thresholds = _numbers(tree, "threshold", where, nodes, infinite=True)
    categorical = (decision & _CATEGORICAL) == _CATEGORICAL
    count = _integer(tree, "num_cat", where)
    if count != int(categorical.sum()):
        raise InvalidField(f"{where}.num_cat", f"is {count}, but {int(categorical.sum())} nodes are categorical")
    if not count:
        if tree.get("cat_boundaries") or tree.get("cat_threshold"):
            raise InvalidField(f"{where}.cat_boundaries", "without a categorical node")
        return
    boundaries = _sized(_integers(tree, "cat_boundaries", where), count + 1, f"{where}.cat_boundaries")
    bits = _integers(tree, "cat_threshold", where)
    _within(bits, 0, 2**32 - 1, f"{where}.cat_threshold")
    if boundaries[0] != 0 or boundaries[-1] != len(bits) or (np.diff(boundaries) < 1).any():
        raise InvalidField(f"{where}.cat_boundaries", "do not divide cat_threshold")
    chosen = thresholds[categorical]
    if not np.array_equal(np.sort(chosen), np.arange(count)):
        raise InvalidField(f"{where}.threshold", "the categorical nodes do not point to the category sets, each once")


def _check_children(tree: Mapping[str, str], where: str, nodes: int) -> None:
    """Every node and leaf but the root is the child of one node, and of an earlier one: so it is a tree."""
    left = _sized(_integers(tree, "left_child", where), nodes, f"{where}.left_child")
    right = _sized(_integers(tree, "right_child", where), nodes, f"{where}.right_child")
    parents = np.arange(nodes)
    for name, child in (("left_child", left), ("right_child", right)):
        _within(child, -(nodes + 1), nodes - 1, f"{where}.{name}")
        backwards = (child >= 0) & (child <= parents)
        if backwards.any():
            at = int(backwards.argmax())
            raise InvalidField(
                f"{where}.{name}[{at}]", f"{child[at]} does not come after its parent: the tree has a cycle"
            )
    if not np.array_equal(np.sort(np.concatenate([left, right])), np.delete(np.arange(-(nodes + 1), nodes), nodes + 1)):
        raise InvalidField(f"{where}.left_child, right_child", "do not reach every node and leaf once")


def _check_tail(tail: bytes) -> None:
    allowed = (b"\nfeature_importances:\n", b"\nparameters:\n")
    if tail and not tail.startswith(allowed):
        raise InvalidField("model.txt", "holds something unknown after the trees")
    if tail.count(b"\nparameters:\n") != tail.count(b"\nend of parameters\n") or b"\nTree=" in tail:
        raise InvalidField("model.txt", "the section after the trees is not whole")


def _lines(block: bytes, where: str, known: Set[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\n"):
        if not line:
            continue
        key, separator, value = line.partition("=")
        if not separator and key == "average_output":
            continue
        if key not in known or not separator:
            raise InvalidField(where, f"has an unknown line {line[:60]!r}")
        if key in fields:
            raise InvalidField(f"{where}.{key}", "is there twice")
        if value != value.strip():
            raise InvalidField(f"{where}.{key}", "has stray white space")
        fields[key] = value
    return fields


def _integer(fields: Mapping[str, str], key: str, where: str) -> int:
    return int(_sized(_integers(fields, key, where), 1, f"{where}.{key}")[0])


def _integers(fields: Mapping[str, str], key: str, where: str) -> Ints:
    if key not in fields:
        raise InvalidField(f"{where}.{key}", "is missing")
    try:
        return np.array([int(text) for text in fields[key].split(" ")] if fields[key] else [], dtype=np.int64)
    except (ValueError, OverflowError) as err:
        raise InvalidField(f"{where}.{key}", "must be whole numbers") from err


def _numbers(
    fields: Mapping[str, str], key: str, where: str, count: int, *, infinite: bool = False
) -> npt.NDArray[np.float64]:
    if key not in fields:
        raise InvalidField(f"{where}.{key}", "is missing")
    try:
        values = np.array(fields[key].split(" ") if fields[key] else [], dtype=np.float64)
    except ValueError as err:
        raise InvalidField(f"{where}.{key}", "must be numbers") from err
    if len(values) != count:
        raise InvalidField(f"{where}.{key}", f"has {len(values)} values; {count} are needed")
    if np.isnan(values).any() if infinite else not np.isfinite(values).all():
        raise InvalidField(f"{where}.{key}", "must be numbers" if infinite else "must be finite")
    return values


def _finite(text: str, where: str) -> None:
    try:
        number = float(text)
    except ValueError as err:
        raise InvalidField(where, "must be a number") from err
    if not np.isfinite(number):
        raise InvalidField(where, "must be finite")


def _sized(values: Ints, count: int, where: str) -> Ints:
    if len(values) != count:
        raise InvalidField(where, f"has {len(values)} values; {count} are needed")
    return values


def _within(values: Ints, least: int, most: int, where: str) -> None:
    wrong = (values < least) | (values > most)
    if wrong.any():
        at = int(wrong.argmax())
        raise InvalidField(f"{where}[{at}]", f"{values[at]} is not in {least} to {most}")
