"""Proving that one tree of a LightGBM text model is a tree, and that every index in it stays within bounds.

The fields are those that ``Tree::ToString`` writes; LightGBM's reader (``Tree::Tree(const char*)``) trusts them.
"""

import numpy as np

from shipway.bundle.modeltext import (
    Fields,
    Ints,
    check_integers,
    check_numbers,
    check_numbers_or_infinite,
    count_of,
    integer,
    integers,
    numbers_or_infinite,
    read_fields,
    within,
)
from shipway.contract.errors import InvalidField

_NODE_NUMBERS = ("split_gain", "internal_value", "internal_weight")
_CATEGORY_FIELDS = ("cat_boundaries", "cat_threshold")
_FIELDS = frozenset(
    (
        *_NODE_NUMBERS,
        *_CATEGORY_FIELDS,
        *("split_feature", "threshold", "decision_type", "left_child", "right_child", "internal_count"),
        *("leaf_value", "leaf_weight", "leaf_count", "num_leaves", "num_cat", "is_linear", "shrinkage"),
    )
)
_CATEGORICAL = 1
# Bit 0: categorical; bit 1: missing goes left; bits 2 and 3: what counts as missing, where 3 means nothing.
_MOST_DECISION = 0b1011


def check_tree(block: bytes, number: int, features: int, most_leaves: int) -> tuple[int, int]:
    """Proves one tree, given exactly the bytes that ``tree_sizes`` assigns to it. Returns its leaves and its depth.

    Raises:
        InvalidField: with a path such as ``tree[12].left_child[3]``.
    """
    where = f"tree[{number}]"
    first, _, rest = block.partition(b"\n")
    if first != b"Tree=%d" % number or not rest.endswith(b"\n\n\n"):
        raise InvalidField(where, "is not where tree_sizes says: the file is truncated or was changed")
    if b"\nis_linear=1\n" in rest:
        raise InvalidField(f"{where}.is_linear", "linear trees are not served; train with linear_tree = false")
    tree = read_fields(rest[:-2], where, _FIELDS)
    leaves = integer(tree, "num_leaves", where)
    if not 1 <= leaves <= most_leaves:
        raise InvalidField(f"{where}.num_leaves", f"{leaves} is not in 1 to {most_leaves}")
    if integer(tree, "is_linear", where) != 0:
        raise InvalidField(f"{where}.is_linear", "linear trees are not served")
    check_numbers(tree, "leaf_value", where, leaves)
    check_numbers(tree, "shrinkage", where, 1)
    # Of a tree that is one leaf, LightGBM may leave these two empty.
    absent = leaves == 1
    check_numbers_or_infinite(tree, "leaf_weight", where, 0 if absent and not tree.get("leaf_weight") else leaves)
    check_integers(tree, "leaf_count", where, 0 if absent and not tree.get("leaf_count") else leaves)
    nodes = leaves - 1
    # Prediction reads none of these; of huge labels LightGBM itself writes infinite gains.
    for key in _NODE_NUMBERS:
        check_numbers_or_infinite(tree, key, where, nodes)
    check_integers(tree, "internal_count", where, nodes)
    _check_splits(tree, where, nodes, features)
    return leaves, _check_children(tree, where, nodes)


def _check_splits(tree: Fields, where: str, nodes: int, features: int) -> None:
    within(integers(tree, "split_feature", where, nodes), 0, features - 1, f"{where}.split_feature")
    decision = integers(tree, "decision_type", where, nodes)
    within(decision, 0, _MOST_DECISION, f"{where}.decision_type")
    # LightGBM's own: "inf" divides what is there from what is missing.
    check_numbers_or_infinite(tree, "threshold", where, nodes)
    categorical = (decision & _CATEGORICAL) == _CATEGORICAL
    sets, used = integer(tree, "num_cat", where), int(np.count_nonzero(categorical))
    if sets != used:
        raise InvalidField(f"{where}.num_cat", f"is {sets}, but {used} nodes are categorical")
    if not sets:
        for key in _CATEGORY_FIELDS:
            if key in tree:
                raise InvalidField(f"{where}.{key}", "is there without a categorical node")
        return
    boundaries = integers(tree, "cat_boundaries", where, sets + 1)
    most_words = count_of(tree.get("cat_threshold", b""))
    if boundaries[0] != 0 or boundaries[-1] != most_words or (np.diff(boundaries) < 1).any():
        raise InvalidField(f"{where}.cat_boundaries", f"do not divide the {most_words} values of cat_threshold")
    words = integers(tree, "cat_threshold", where, most_words)
    within(words, 0, 2**32 - 1, f"{where}.cat_threshold")
    thresholds = numbers_or_infinite(tree, "threshold", where, nodes)
    if not np.array_equal(np.sort(thresholds[categorical]), np.arange(sets)):
        raise InvalidField(f"{where}.threshold", "the categorical nodes do not point to the category sets, each once")


def _check_children(tree: Fields, where: str, nodes: int) -> int:
    """Every node and leaf but the root is the child of one node, and of an earlier one: so it is a tree; its depth.

    LightGBM numbers a node when it splits a leaf, so a child always comes after its parent. The depth is the number of
    splits on the longest way to a leaf.
    """
    left = integers(tree, "left_child", where, nodes)
    right = integers(tree, "right_child", where, nodes)
    depths, leaves = [1] + [0] * nodes, bytearray(nodes + 1)
    depth = 1 if nodes else 0
    for node, both in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        for child in both:
            if node < child < nodes and not depths[child]:
                depths[child] = depths[node] + 1
                depth = max(depth, depths[child])
            elif -nodes <= child + 1 <= 0 and not leaves[~child]:
                leaves[~child] = 1
            else:
                raise _no_tree(left, right, where)
    # 2 * nodes children and the root over as many places: as none was reached twice, none is missed.
    return depth


def _no_tree(left: Ints, right: Ints, where: str) -> InvalidField:
    """What is wrong with children that make no tree; in the order in which it matters."""
    nodes = len(left)
    children = np.concatenate([left, right])
    for name, child in (("left_child", left), ("right_child", right)):
        within(child, -(nodes + 1), nodes - 1, f"{where}.{name}")
    backwards = (children >= 0) & (children <= np.arange(2 * nodes) % nodes)
    if backwards.any():
        side, at = divmod(int(backwards.argmax()), nodes)
        problem = f"{children[side * nodes + at]} does not come after its parent: the tree has a cycle"
        return InvalidField(f"{where}.{('left_child', 'right_child')[side]}[{at}]", problem)
    # A child c (a leaf is ~leaf, so negative) is counted at c + nodes + 1; only the root is nobody's child.
    times = np.bincount(children + nodes + 1, minlength=2 * nodes + 1)
    times[nodes + 1] += 1
    at = int((times != 1).argmax()) - nodes - 1
    name = f"node {at}" if at >= 0 else f"leaf {~at}"
    return InvalidField(f"{where}.left_child, right_child", f"must reach every node and leaf once, but not {name}")
