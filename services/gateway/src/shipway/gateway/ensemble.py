"""What the answers of several models to the same rows make together: who must answer, how one is made of many. Pure.

Rules. ``require`` says how many models must answer: all, any, or a number; with fewer the whole is refused with every
model's reason, with enough it is answered and the others are named in ``failed``. ``aggregate``: *all* gives each
model's answer as it is; *first* is the first that comes, and the others are not waited for; *mean* is the mean of the
probabilities or values of those that answered; *vote* is the label that most of them give, of a tie the one with the
higher mean probability. Scores of rankings are each on a scale of their own, and have neither mean nor majority.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Aggregate = Literal["all", "first", "mean", "vote"]
Require = Literal["all", "any"] | int


@dataclass(frozen=True)
class Answer:
    """One model's answer: an entry a row, in words (see describe_outputs), with its id; ``classes`` of its output.

    ``looked_up``: of how many rows each look-up table knew the entity, where its version looks features up.
    """

    model: str
    version: int
    classes: Sequence[str]
    predictions: Sequence[Mapping[str, Any]]
    looked_up: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Failure:
    """Why a model did not answer, by the status that it alone would have been refused with."""

    model: str
    status: int
    detail: str


class Unanswered(Exception):  # noqa: N818
    """The whole is refused: too few answered, or what they say can't be made one. ``status`` is the HTTP status."""

    def __init__(self, status: int, detail: str, failures: Sequence[Failure] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.failures = failures


def required(require: Require, aggregate: Aggregate, models: int) -> int:
    """How many of so many models must answer."""
    if aggregate == "first" or require == "any":
        return 1
    return models if require == "all" else require


def combine(
    aggregate: Aggregate, require: Require, answers: Sequence[Answer], failures: Sequence[Failure]
) -> dict[str, Any]:
    """The whole answer; ``answers`` in the order in which the models were asked for.

    Raises:
        Unanswered: too few answered (with the status of the gravest failure), or mean and vote have nothing in common
            to go by (422).
    """
    asked = len(answers) + len(failures)
    needed = required(require, aggregate, asked)
    if len(answers) < needed:
        why = "; ".join(f"{f.model}: {f.detail}" for f in failures)
        raise Unanswered(_gravest(failures), f"{len(answers)} of {asked} answered, {needed} must: {why}", failures)
    made: dict[str, Any] = {
        "aggregate": aggregate,
        "partial": bool(failures) and aggregate != "first",
        "answers": [_told(answer) for answer in answers],
        "failed": [{"model": f.model, "status": f.status, "detail": f.detail} for f in failures],
    }
    if aggregate in ("mean", "vote"):
        _check_alike(aggregate, answers)
        one_of_many = _mean if aggregate == "mean" else _vote
        made["predictions"] = [one_of_many(answers, row) for row in range(len(answers[0].predictions))]
    return made


def _told(answer: Answer) -> dict[str, Any]:
    told = {"model": answer.model, "version": answer.version, "predictions": list(answer.predictions)}
    return told if answer.looked_up is None else told | {"looked_up": answer.looked_up}


def _gravest(failures: Sequence[Failure]) -> int:
    """What the asker has to change comes before what may pass by itself."""
    found = {f.status for f in failures}
    return next((status for status in (400, 422, 404, 502, 504, 503) if status in found), 503)


def _check_alike(aggregate: Aggregate, answers: Sequence[Answer]) -> None:
    names = ", ".join(a.model for a in answers)
    if any("score" in a.predictions[0] for a in answers):
        raise Unanswered(422, f"aggregate: of {names} some rank, by scores on scales of their own; use all or first")
    if len({frozenset(a.classes) for a in answers}) > 1:
        raise Unanswered(422, f"aggregate: {names} do not give the same kind of answer with the same classes")
    if aggregate == "vote" and not answers[0].classes:
        raise Unanswered(422, f"aggregate: {names} give values, which have no majority; use mean")


def _mean(answers: Sequence[Answer], row: int) -> dict[str, Any]:
    """The mean of what the models say of a row."""
    classes = answers[0].classes
    if not classes:
        return {"value": sum(a.predictions[row]["value"] for a in answers) / len(answers)}
    means = _mean_chances(answers, row)
    label = max(classes, key=means.__getitem__)
    if "probability" in answers[0].predictions[row]:
        return {"label": label, "probability": means[classes[1]]}
    return {"label": label, "probabilities": means}


def _vote(answers: Sequence[Answer], row: int) -> dict[str, Any]:
    """The label that most models give a row."""
    votes = Counter(a.predictions[row]["label"] for a in answers)
    means = _mean_chances(answers, row)
    return {"label": max(votes, key=lambda name: (votes[name], means[name])), "votes": dict(votes)}


def _mean_chances(answers: Sequence[Answer], row: int) -> dict[str, float]:
    found = [_chances(a, row) for a in answers]
    return {name: sum(chances[name] for chances in found) / len(found) for name in answers[0].classes}


def _chances(answer: Answer, row: int) -> Mapping[str, float]:
    """The probabilities by class; of two classes the model gives that of the second."""
    prediction = answer.predictions[row]
    if "probability" in prediction:
        return dict(zip(answer.classes, (1 - prediction["probability"], prediction["probability"]), strict=True))
    chances: Mapping[str, float] = prediction["probabilities"]
    return chances
