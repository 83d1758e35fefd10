"""A model from elsewhere, held against the model file and its own signature; every misfit with field and remedy. Pure.

What is wrong with the file itself, bundle.modelfile finds.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shipway.contract.errors import InvalidField
from shipway.contract.signature import Feature, Signature
from shipway.contract.spec import FeatureSpec, ModelSpec
from shipway.contract.spec.training import OBJECTIVES

Matrix = npt.NDArray[np.float64]
# What LightGBM calls columns that nobody named, and what Shipway does.
_UNNAMED = re.compile(r"Column_\d+|f\d+")
_NAMES = re.compile(rb"\nfeature_names=([^\n]*)\n")
_PANDAS = re.compile(rb"\npandas_categorical:([^\n]*)")


def fitted(spec: ModelSpec, given: Signature) -> Signature:
    """The signature, with what clients may leave out as the model file has it.

    Raises:
        InvalidField: it does not fit the model file.
    """
    if (given.output, given.target) != (spec.target.kind, spec.target.column):
        raise InvalidField(
            "signature.output",
            f"predicts {given.target!r} ({given.output}); the model file's target is {spec.target.column!r}"
            f" ({spec.target.kind})",
        )
    if spec.target.classes is not None and given.classes != spec.target.classes:
        raise InvalidField("signature.classes", f"are {given.classes}; the model file says {spec.target.classes}")
    names = [feature.name for feature in given.features]
    for name in names:
        if name not in spec.features:
            raise InvalidField(f"signature.features.{name}", "is not a feature of the model file; declare it there")
    if missing := [name for name in spec.features if name not in names]:
        raise InvalidField(
            f"features.{missing[0]}", "is not in the signature; remove it from the model file if the model has no such"
        )
    features = [_feature(feature, spec.features[feature.name]) for feature in given.features]
    return msgspec.structs.replace(given, features=features)


def _feature(given: Feature, wanted: FeatureSpec) -> Feature:
    field = f"signature.features.{given.name}"
    if given.type != wanted.type:
        raise InvalidField(f"{field}.type", f"is {given.type}; the model file says {wanted.type}")
    if given.type == "category" and not given.categories:
        raise InvalidField(f"{field}.categories", "are needed, in the order of the codes that the model knows")
    if wanted.categories is not None and given.categories != wanted.categories:
        raise InvalidField(f"{field}.categories", "are not those of the model file; make them the same, in one order")
    return msgspec.structs.replace(given, nullable=wanted.nullable, optional=wanted.optional, unseen=wanted.unseen)


def check_names(text: bytes, signature: Signature) -> None:
    """Holds the names of the model's columns, where it has any, against the signature's order.

    Raises:
        InvalidField: a column is another one.
    """
    found = _NAMES.search(text)
    names = found[1].decode("utf-8", "replace").split(" ") if found else []
    if all(_UNNAMED.fullmatch(name) for name in names):
        return
    for at, (name, feature) in enumerate(zip(names, signature.features, strict=False)):
        if name != re.sub(r"\s", "_", feature.name):
            raise InvalidField(
                f"signature.features[{at}]",
                f"is {feature.name!r}, but the model's column {at} is {name[:100]!r}; put the features in its order",
            )


def check_categories(text: bytes, signature: Signature) -> None:
    """Holds the categories that pandas knew at the training, where the model tells of them, against the signature's.

    Raises:
        InvalidField: codes would mean other categories.
    """
    found = _PANDAS.search(text)
    try:
        known = json.loads(found[1]) if found else None
    except ValueError:
        known = None
    if not isinstance(known, list) or not known:
        return
    features = [feature for feature in signature.features if feature.type == "category"]
    if len(known) != len(features):
        raise InvalidField(
            "signature.features", f"has {len(features)} categories; the model was trained with {len(known)} (pandas)"
        )
    for feature, categories in zip(features, known, strict=True):
        if [_text(value) for value in categories] != feature.categories:
            raise InvalidField(
                f"signature.features.{feature.name}.categories",
                "are not those that the model was trained with (pandas_categorical in model.txt), in their order",
            )


def check_objective(objective: str, signature: Signature) -> None:
    """Whether the model's objective gives what the signature promises.

    Raises:
        InvalidField: it gives something else.
    """
    allowed = OBJECTIVES[signature.output]
    if objective not in allowed:
        raise InvalidField(
            "model.txt",
            f"was trained for {objective!r}; a {signature.output} target wants {', '.join(sorted(allowed))}"
            " (a custom objective gives raw scores: train with LightGBM's own)",
        )


def check_scores(scores: Matrix, signature: Signature) -> None:
    """Whether scores (rows, outputs) of real rows are what such an output is.

    Raises:
        InvalidField: they are no finite numbers, or no probabilities.
    """
    if not np.isfinite(scores).all():
        raise InvalidField("model.txt", "gives scores that are not finite")
    if signature.classes and (scores.min(initial=0) < 0 or scores.max(initial=0) > 1):
        raise InvalidField("model.txt", f"gives {scores.max():g} for a row, which is no probability")


def golden_columns(signature: Signature) -> Mapping[str, Any]:
    """The columns of golden rows: ``score``, or one a class, ``score.<class>``, by the index of the output."""
    if signature.outputs_per_row == 1:
        return {"score": 0}
    return {f"score.{name}": at for at, name in enumerate(signature.classes)}


def _text(value: Any) -> str:
    """A category as a signature has it (see signature.category_text)."""
    return str(value).lower() if isinstance(value, bool) else str(value)
