"""Whether the holdout can tell anything: untouched by training, large enough, and without the answer in a feature."""

from collections.abc import Mapping

from shipway.contract.events import Gate
from shipway.evaluator.facts import Measured, Opened, Overlap
from shipway.evaluator.gates.outcome import UNREADABLE, gate


def untouched(opened: Opened | None) -> Gate:
    """Training ended before the holdout begins."""
    name = "holdout-untouched"
    if opened is None:
        return gate(name, False, UNREADABLE)
    apart_s = (opened.holdout_from - opened.train_to).total_seconds()
    ends = f"training ends {opened.train_to:%Y-%m-%d %H:%M}, the holdout begins {opened.holdout_from:%Y-%m-%d %H:%M}"
    return gate(name, apart_s >= 0, ends, apart_s, 0)


def large_enough(opened: Opened, measured: Measured) -> Gate:
    """It has rows with a label enough."""
    limit = opened.spec.gates.min_holdout_rows
    words = f"{measured.rows:,} rows with a label ({measured.set_aside:,} without), {limit:,} are needed"
    if measured.queries is not None:
        words += f"; {measured.queries:,} queries tell, {measured.trained_on:,} rows are of queries that training saw"
    return gate("holdout-size", measured.rows >= limit, words, measured.rows, limit)


def not_overlapping(opened: Opened, found: Overlap | None, origin: str) -> Gate:
    """Its rows are not among those trained on, but for what the data repeats by nature."""
    name, limit = "holdout-overlap", opened.spec.gates.max_overlap
    if found is None or not found.training_rows:
        if origin == "import":
            return gate(name, True, "trained elsewhere; the data holds no training rows to look for", None, limit)
        return gate(name, False, "the data holds no rows of the training window any more", None, limit)
    beyond = max(found.content - found.usual_content, found.ids - found.usual_ids, 0.0)
    words = (
        f"{found.content:.2%} of its rows were trained on ({found.usual_content:.2%} is usual in this data)"
        + (f", {found.ids:.2%} by id ({found.usual_ids:.2%})" if found.ids or found.usual_ids else "")
        + f"; {limit:.2%} beyond the usual is allowed"
    )
    return gate(name, beyond <= limit, words, beyond, limit)


def no_leak(opened: Opened, telling: Mapping[str, float]) -> Gate:
    """No feature alone gives the answer away."""
    limit = opened.spec.gates.max_single_feature
    name, most = max(telling.items(), key=lambda item: item[1], default=("", 0.0))
    if not name:
        return gate("leakage", True, "no feature tells anything alone", 0.0, limit)
    leaks = [feature for feature, told in telling.items() if told > limit]
    words = f"{name} tells the most alone, {most:.2f} of the target; more than {limit:g} is a leak"
    if leaks:
        words = f"{', '.join(leaks[:5])}: tells {most:.3f} of the target alone, more than {limit:g}: a leak?"
    return gate("leakage", not leaks, words, most, limit)
