"""A model's numbers in the words of its signature, as clients get them: outputs, and what features contributed."""

from collections.abc import Sequence
from typing import Any

from shipway.contract.signature import Signature


def describe_output(signature: Signature, numbers: Sequence[float]) -> dict[str, Any]:
    """A row's output in words, by its kind.

    ``{"label", "probability"}``, ``{"label", "probabilities"}``, ``{"value"}`` or ``{"score"}``.

    ``numbers`` are the model's ``outputs_per_row`` numbers: the probability of the second class for binary,
    one probability a class for multiclass, the value for regression, the raw score for ranking.
    """
    if signature.output == "regression":
        return {"value": numbers[0]}
    if signature.output == "ranking":
        return {"score": numbers[0]}
    if signature.output == "binary":
        return {"label": signature.classes[int(numbers[0] >= 0.5)], "probability": numbers[0]}
    best = max(range(len(numbers)), key=numbers.__getitem__)
    return {
        "label": signature.classes[best],
        "probabilities": dict(zip(signature.classes, numbers, strict=True)),
    }


def describe_outputs(signature: Signature, rows: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """The outputs of a request's rows in words, each as describe_output has it.

    Of a ranking each has its ``rank`` among the rows as well, 1 the best; of equal scores the earlier row comes first.
    """
    told = [describe_output(signature, numbers) for numbers in rows]
    if signature.output == "ranking":
        best_first = sorted(range(len(rows)), key=lambda at: -rows[at][0])
        for rank, at in enumerate(best_first, 1):
            told[at]["rank"] = rank
    return told


def describe_contributions(signature: Signature, numbers: Sequence[float]) -> dict[str, Any]:
    """A row's contributions in words: ``{"base", "contributions": {feature: number}}``; of several classes by class.

    ``numbers`` are SHAP values: for each output one a feature, and the base.
    """
    names = [feature.name for feature in signature.features]
    width = len(names) + 1
    outputs = [numbers[at : at + width] for at in range(0, len(numbers), width)]
    told = [(one[-1], dict(zip(names, one, strict=False))) for one in outputs]
    if signature.output != "multiclass":
        return {"base": told[0][0], "contributions": told[0][1]}
    by_class = list(zip(signature.classes, told, strict=True))
    return {
        "base": {name: base for name, (base, _) in by_class},
        "contributions": {name: found for name, (_, found) in by_class},
    }
