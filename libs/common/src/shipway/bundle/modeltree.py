"""Proving that the trees of a LightGBM text model are trees, and that every index in them stays within bounds.

The fields are those that ``Tree::ToString`` writes; LightGBM's reader (``Tree::Tree(const char*)``) trusts them. Many
trees are proven at once, a key at a time: that takes a third of what one tree after another took.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shipway.bundle.modeltext import (
    Block,
    Column,
    Ints,
    check_integers,
    check_numbers,
    check_numbers_or_infinite,
    count_of,
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


@dataclass(frozen=True)
class Trees:
    """So many leaves in all, and the depth of the deepest: the splits on the longest way to a leaf."""

    leaves: int
    depth: int


def check_trees(texts: Sequence[bytes], first: int, features: int, most_leaves: int) -> Trees:
    """Proves trees, each given exactly the bytes that ``tree_sizes`` assigns to it; the first of them has that number.

    Raises:
        InvalidField: with a path such as ``tree[12].left_child[3]``.
    """
    trees = [_fields(text, number) for number, text in enumerate(texts, first)]
    once = np.ones(len(trees), np.int64)
    sizes = integers(trees, "num_leaves", once)
    within(sizes, 1, most_leaves)
    linear = integers(trees, "is_linear", once).values != 0
    if linear.any():
        raise InvalidField(f"{trees[int(linear.argmax())].where}.is_linear", "linear trees are not served")
    leaves = sizes.values
    check_numbers(trees, "leaf_value", leaves)
    check_numbers(trees, "shrinkage", once)
    check_numbers_or_infinite(trees, "leaf_weight", _unless_absent(trees, "leaf_weight", leaves))
    check_integers(trees, "leaf_count", _unless_absent(trees, "leaf_count", leaves))
    nodes = leaves - 1
    # Prediction reads none of these; of huge labels LightGBM itself writes infinite gains.
    for key in _NODE_NUMBERS:
        check_numbers_or_infinite(trees, key, nodes)
    check_integers(trees, "internal_count", nodes)
    _check_splits(trees, nodes, features)
    return Trees(int(leaves.sum()), _check_children(trees, nodes))


def _fields(text: bytes, number: int) -> Block:
    where = f"tree[{number}]"
    title, _, rest = text.partition(b"\n")
    if title != b"Tree=%d" % number or not rest.endswith(b"\n\n\n"):
        raise InvalidField(where, "is not where tree_sizes says: the file is truncated or was changed")
    if b"\nis_linear=1\n" in rest:
        raise InvalidField(f"{where}.is_linear", "linear trees are not served; train with linear_tree = false")
    return Block(where, read_fields(rest[:-2], where, _FIELDS))


def _unless_absent(trees: Sequence[Block], key: str, leaves: Ints) -> Ints:
    """Of a tree that is one leaf, LightGBM may leave the leaf's weight and count empty."""
    absent = [not tree.fields.get(key) for tree in trees]
    return np.where((leaves == 1) & absent, 0, leaves)


def _check_splits(trees: Sequence[Block], nodes: Ints, features: int) -> None:
    within(integers(trees, "split_feature", nodes), 0, features - 1)
    decisions = integers(trees, "decision_type", nodes)
    within(decisions, 0, _MOST_DECISION)
    # LightGBM's own: "inf" divides what is there from what is missing.
    check_numbers_or_infinite(trees, "threshold", nodes)
    categorical = (decisions.values & _CATEGORICAL) == _CATEGORICAL
    tree_of = np.repeat(np.arange(len(trees)), nodes)
    used = np.bincount(tree_of[categorical], minlength=len(trees))
    sets = integers(trees, "num_cat", np.ones(len(trees), np.int64)).values
    if (sets != used).any():
        at = int((sets != used).argmax())
        raise InvalidField(f"{trees[at].where}.num_cat", f"is {sets[at]}, but {used[at]} nodes are categorical")
    for tree in (trees[at] for at in np.flatnonzero(sets == 0).tolist()):
        for key in _CATEGORY_FIELDS:
            if key in tree.fields:
                raise InvalidField(f"{tree.where}.{key}", "is there without a categorical node")
    having = np.flatnonzero(sets)
    if len(having):
        of_these = np.isin(tree_of, having)
        _check_categories([trees[at] for at in having.tolist()], nodes[having], sets[having], categorical[of_these])


def _check_categories(trees: Sequence[Block], nodes: Ints, sets: Ints, categorical: np.ndarray) -> None:
    """Of trees that have category sets, with the flags of all their nodes: every node has one set, and no other has."""
    words = np.array([count_of(tree.fields.get("cat_threshold", b"")) for tree in trees])
    boundaries = integers(trees, "cat_boundaries", sets + 1).values
    ends = np.cumsum(sets + 1)
    starts = ends - (sets + 1)
    empty = np.diff(boundaries) < 1
    empty[ends[:-1] - 1] = False  # from a tree's last to the next one's first
    wrong = (
        (boundaries[starts] != 0)
        | (boundaries[ends - 1] != words)
        | (np.add.reduceat(np.append(empty, False), starts) > 0)
    )
    if wrong.any():
        at = int(wrong.argmax())
        problem = f"do not divide the {words[at]} values of cat_threshold"
        raise InvalidField(f"{trees[at].where}.cat_boundaries", problem)
    within(integers(trees, "cat_threshold", words), 0, 2**32 - 1)
    set_of = numbers_or_infinite(trees, "threshold", nodes).values[categorical]
    tree_of = np.repeat(np.arange(len(trees)), sets)
    each_once = np.arange(len(set_of)) - np.repeat(np.cumsum(sets) - sets, sets)
    wrong = set_of[np.lexsort((set_of, tree_of))] != each_once
    if wrong.any():
        where = trees[tree_of[int(wrong.argmax())]].where
        raise InvalidField(f"{where}.threshold", "the categorical nodes do not point to the category sets, each once")


def _check_children(trees: Sequence[Block], nodes: Ints) -> int:
    """Every node and leaf but the root is the child of one node, and of an earlier one: so it is a tree; its depth.

    LightGBM numbers a node when it splits a leaf, so a child always comes after its parent.
    """
    left, right = integers(trees, "left_child", nodes), integers(trees, "right_child", nodes)
    many = np.repeat(nodes, nodes)
    begins = np.repeat(np.cumsum(nodes) - nodes, nodes)
    node = np.arange(len(many)) - begins
    for side in (left, right):
        outside = (side.values < -(many + 1)) | (side.values >= many)
        if outside.any():
            at = int(outside.argmax())
            raise InvalidField(side.place(at), f"{side.values[at]} is not in {-many[at] - 1} to {many[at] - 1}")
        backwards = (side.values >= 0) & (side.values <= node)
        if backwards.any():
            at = int(backwards.argmax())
            problem = f"{side.values[at]} does not come after its parent: the tree has a cycle"
            raise InvalidField(side.place(at), problem)
    _check_reached_once(trees, nodes, left, right)
    return _depth(left.values, right.values, begins, np.flatnonzero(node == 0))


def _check_reached_once(trees: Sequence[Block], nodes: Ints, left: Column[np.int64], right: Column[np.int64]) -> None:
    # A child c (a leaf is ~leaf, so negative) is counted at c + nodes + 1 of its tree's places; only the root is
    # nobody's child. A tree that is one leaf has no children, and none of it is counted.
    places = np.where(nodes > 0, 2 * nodes + 1, 0)
    roots = np.cumsum(places) - places + nodes + 1
    child_of = np.repeat(roots, nodes)
    reached = np.concatenate([left.values + child_of, right.values + child_of, roots[nodes > 0]])
    times = np.bincount(reached, minlength=int(places.sum()))
    if (times != 1).any():
        at = int((times != 1).argmax())
        tree = int(np.searchsorted(np.cumsum(places), at, side="right"))
        child = at - int(roots[tree])
        name = f"node {child}" if child >= 0 else f"leaf {~child}"
        raise InvalidField(
            f"{trees[tree].where}.left_child, right_child", f"must reach every node and leaf once, but not {name}"
        )


def _depth(left: Ints, right: Ints, begins: Ints, roots: Ints) -> int:
    """The splits on the longest way to a leaf, by steps that double: a tree may be as deep as it has leaves."""
    upwards, steps = np.arange(len(left)), np.ones(len(left), np.int64)
    for side in (left, right):
        parents = np.flatnonzero(side >= 0)
        upwards[side[parents] + begins[parents]] = parents
    steps[roots] = 0
    while (further := steps[upwards]).any():
        steps += further
        upwards = upwards[upwards]
    return int(steps.max()) + 1 if len(steps) else 0
