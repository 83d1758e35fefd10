"""What a canary step, or being a shadow, shows of the candidate: harm, no harm, or nothing yet. Pure.

Every step is judged on its own answers, as the shares and the times are not the same in the next; labels ripen late and
count for the whole canary. A shadow's answers go to nobody, so that they have no labels; they are compared with the
champion's to the same rows instead. The chance of a false alarm, ``release.alpha``, is divided among the comparisons
and steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

from shipway.releaser.counts import Arm, Quality
from shipway.releaser.sequential import Tally, above, within, worse
from shipway.releaser.state import Model, Release

COMPARISONS = 4


@dataclass(frozen=True)
class Finding:
    """What one comparison shows, in words; ``figures`` are what it is based on, ``needed`` to show no harm."""

    name: str
    shows: Literal["harm", "no harm", "nothing", "not compared"]
    words: str
    figures: dict[str, float]
    needed: bool = True


def findings(model: Model, release: Release) -> list[Finding]:
    """Every comparison of a canary, or of a shadow, in the order in which harm is told."""
    policy, evidence = release.policy, release.evidence
    steps = len(policy.canary) + 1 + (policy.shadow > 0)
    believed = log(COMPARISONS * steps / policy.alpha)
    errors = Tally(evidence.requests, evidence.errors)
    theirs = Tally(evidence.champion.requests, evidence.champion.errors)
    found = [
        _limited(errors, policy.max_error_share, believed),
        _versus("errors", errors, theirs, policy.worse_by, believed),
    ]
    if evidence.slow_from is not None:
        slow, theirs = _slow(evidence, evidence.slow_from), _slow(evidence.champion, evidence.slow_from)
        found.append(_versus("latency", slow, theirs, policy.slower_by, believed))
    candidate, champion = model.versions[release.version], model.champion
    if release.state == "shadow":
        found.append(_apart(Tally(evidence.compared, evidence.distance), policy.max_distance, believed))
    elif champion is not None and champion.number == evidence.against:
        if (unlike := _other_exam(candidate.quality, champion.quality)) is not None:
            return [*found, unlike]
        ours = _since(evidence.quality, candidate.quality)
        theirs = _since(evidence.champion_quality, champion.quality)
        found.append(_versus("labels", ours, theirs, policy.loss_worse_by, believed))
    return found


def figures(found: Sequence[Finding]) -> dict[str, float]:
    """The figures of all comparisons."""
    return {name: value for finding in found for name, value in finding.figures.items()}


def _limited(ours: Tally, limit: float, believed: float) -> Finding:
    harm = above(ours, limit)
    words = f"{ours.bad:.0f} of {ours.count:.0f} answers failed ({ours.share:.1%}), the limit is {limit:.1%}"
    numbers = {"answers": ours.count, "errors": ours.bad, "limit_evidence": harm}
    return Finding("error limit", "harm" if harm >= believed else "nothing", words, numbers, needed=False)


def _apart(ours: Tally, limit: float, believed: float) -> Finding:
    harm = above(ours, limit)
    words = f"its scores lie {ours.share:.3f} from the champion's over {ours.count:.0f} rows, {limit:g} is allowed"
    numbers = {"distance": ours.share, "distance_count": ours.count, "distance_evidence": harm}
    return Finding("distance", "harm" if harm >= believed else "nothing", words, numbers, needed=False)


_WORDS = {"errors": "failed", "latency": "were slow", "labels": "loss by labels"}


def _versus(name: str, ours: Tally, theirs: Tally, margin: float, believed: float) -> Finding:
    harm, no_harm = worse(ours, theirs, margin), within(ours, theirs, margin)
    shows: Literal["harm", "no harm", "nothing"] = "harm" if harm >= believed else "nothing"
    if shows == "nothing" and no_harm >= believed:
        shows = "no harm"
    what = f"{ours.share:.1%} of {ours.count:.0f} answers {_WORDS[name]}, {theirs.share:.1%} of the champion's"
    if name == "labels":
        what = f"{_WORDS[name]} {ours.share:.3f} over {ours.count:.0f}, {theirs.share:.3f} of the champion"
    words = f"{what} {theirs.count:.0f}; {margin:g} more is allowed"
    numbers = {
        f"{name}_share": ours.share,
        f"{name}_of_champion": theirs.share,
        f"{name}_count": ours.count,
        f"{name}_evidence": harm,
    }
    return Finding(name, shows, words, numbers, needed=name != "labels")


def _other_exam(ours: Quality, theirs: Quality) -> Finding | None:
    """Losses of rankings by other numbers of best rows say nothing of each other, however many there are."""
    if ours.ndcg_at == theirs.ndcg_at or not (ours.labelled and theirs.labelled):
        return None
    words = f"labels are not compared: losses are by {_exam(ours)}, the champion's by {_exam(theirs)}"
    return Finding("labels", "not compared", words, {}, needed=False)


def _exam(quality: Quality) -> str:
    return f"NDCG@{quality.ndcg_at}" if quality.ndcg_at is not None else "another measure"


def _slow(arm: Arm, slow_from: int) -> Tally:
    return Tally(sum(arm.latency), sum(arm.latency[slow_from:]))


def _since(before: Quality, now: Quality) -> Tally:
    count = max(0, now.labelled - before.labelled)
    return Tally(count, min(max(0.0, now.loss_sum - before.loss_sum), float(count)))
