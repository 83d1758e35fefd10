"""Measures a version on its holdout, against its champion and a constant. Runs in the judging process; it blocks."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from shipway.bundle.datasets import read_rows, read_window
from shipway.bundle.historysummary import HistorySummary
from shipway.bundle.metrics import score_metrics
from shipway.bundle.ranking import ndcg_by_query, ranked, uneven_columns
from shipway.bundle.store import Bundle, read_bundle
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.signature import Signature
from shipway.contract.spec import ModelSpec
from shipway.evaluator.facts import Latency, Measured, Slice, Stability
from shipway.evaluator.measuring.calibration import calibration
from shipway.evaluator.measuring.constant import constant_metrics, constant_scores, training_report
from shipway.evaluator.measuring.cutting import cut, measure_slice
from shipway.evaluator.measuring.overlap import Hashes, overlap, row_hashes
from shipway.evaluator.measuring.paired import difference
from shipway.evaluator.measuring.scoring import (
    Against,
    Labelled,
    labelled,
    of_other_queries,
    scores_of,
    scores_of_champion,
)
from shipway.evaluator.measuring.telling import telling
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings

Matrix = npt.NDArray[np.float64]
TRAINING_ROWS = 500_000


@dataclass(frozen=True)
class Scored:
    """All that was read and scored: what the figures, and the report's plots, are made of.

    ``lived``: what the history holds of the holdout window, where it was read.
    """

    bundle: Bundle
    train: Labelled
    holdout: Labelled
    scores: Matrix
    against: Against | None
    measured: Measured
    lived: HistorySummary | None = None


def measure(store: ObjectStore, allowed: DataSettings, digest: str, champion_digest: str | None) -> Scored:
    """Scores and measures the version ``digest``.

    Raises:
        Permanent: bundle or data do not allow it. Transient: they are away.
    """
    bundle = read_bundle(store, digest)
    spec, signature, manifest = bundle.spec, bundle.signature, bundle.manifest
    as_of = manifest.as_of
    rows, lived = read_rows(store, spec, manifest.holdout_from, manifest.holdout_to, allowed, as_of)
    table = read_window(store, spec, manifest.train_from, manifest.train_to, allowed, as_of)
    others = of_other_queries(spec, rows, table)
    trained_on = rows.num_rows - others.num_rows
    holdout, train = labelled(spec, signature, others), labelled(spec, signature, table, newest=TRAINING_ROWS)
    if not len(holdout.labels):
        empty, queries = np.empty((0, signature.outputs_per_row)), None if holdout.queries is None else 0
        nothing = Measured(0, holdout.set_aside, {}, {}, queries=queries, trained_on=trained_on)
        return Scored(bundle, train, holdout, empty, None, nothing, lived)
    scores, taken = scores_of(bundle, holdout.features)
    theirs, problem = None, None
    if champion_digest is not None:
        try:
            theirs = scores_of_champion(read_bundle(store, champion_digest), signature, holdout.table)
        except Permanent as err:
            problem = str(err)
    measured = replace(_figures(bundle, train, holdout, scores, theirs, problem, taken), trained_on=trained_on)
    return Scored(bundle, train, holdout, scores, theirs, measured, lived)


def _figures(
    bundle: Bundle,
    train: Labelled,
    holdout: Labelled,
    scores: Matrix,
    against: Against | None,
    champion_problem: str | None,
    taken: Latency,
) -> Measured:
    spec, signature, labels = bundle.spec, bundle.signature, holdout.labels
    metric, output, sure = spec.metric, signature.output, spec.gates.confidence
    report, how = training_report(bundle.files), ranked(spec, holdout.queries)
    constant = constant_scores(signature, report.label, len(labels), metric)
    alone = Measured(
        rows=len(labels),
        set_aside=holdout.set_aside,
        metrics=_finite(score_metrics(signature, labels, scores, how)),
        constant=_finite(constant_metrics(signature, report.label, labels, how)),
        beats_constant=difference(metric, output, (labels, scores), (labels, constant), sure, how),
        champion_problem=champion_problem,
        slices=_slices(spec, signature, holdout, scores, against),
        calibration=calibration(output, labels, scores),
        overlap=overlap(_contents(spec, train), _contents(spec, holdout), *_ids(spec, train, holdout)),
        telling=telling(signature, train.features, train.labels, holdout.features, labels),
        stability=_stability(spec, signature, report.rounds, train, holdout),
        latency=taken,
        queries=None if how is None else len(ndcg_by_query(labels, scores[:, 0], how)),
    )
    if against is None:
        return alone
    ours, theirs = (labels[against.known], scores[against.known]), against.side(against.known)
    same = None if how is None else how.of(against.known)
    return replace(
        alone,
        champion=_finite(score_metrics(against.signature, *theirs, same)),
        against_champion=_finite(score_metrics(signature, *ours, same)),
        better_by=difference(metric, output, ours, theirs, sure, same),
    )


def _slices(
    spec: ModelSpec, signature: Signature, holdout: Labelled, scores: Matrix, against: Against | None
) -> list[Slice]:
    """The interval of each is corrected for how many there are (Bonferroni). A slice of a ranking is of whole queries.

    Raises:
        Permanent: a column can't be cut by.
    """
    if holdout.queries is not None and (uneven := uneven_columns(holdout.table, holdout.queries, spec.gates.slices)):
        raise InvalidField("gates.slices", f"{uneven[0]!r} differs within a query; name what all its rows share")
    cuts = [(name, *part) for name in spec.gates.slices for part in cut(name, holdout.table.column(name))]
    sure, how = 1 - (1 - spec.gates.confidence) / max(1, len(cuts)), ranked(spec, holdout.queries)
    found = []
    for name, value, inside in cuts:
        rows = inside if against is None else inside & against.known
        sides = (holdout.labels[rows], scores[rows]), None if against is None else against.side(rows)
        same = None if how is None else how.of(rows)
        found.append(measure_slice(name, value, spec.metric, signature.output, *sides, sure, same))
    return found


def _stability(
    spec: ModelSpec, signature: Signature, rounds: int, train: Labelled, holdout: Labelled
) -> Stability | None:
    if not spec.gates.stability_runs or not len(train.labels):
        return None
    from shipway.evaluator.measuring.stability import stability  # its imports cost those who don't ask for it a second

    rows = ((side.features, side.labels, side.queries) for side in (train, holdout))
    return stability(spec, signature, rounds, *rows)


def _contents(spec: ModelSpec, side: Labelled) -> Hashes:
    return row_hashes(side.table, [*spec.features, spec.target.column])


def _ids(spec: ModelSpec, train: Labelled, holdout: Labelled) -> tuple[Hashes | None, Hashes | None]:
    name = spec.data.id_column
    return (None, None) if name is None else (row_hashes(train.table, [name]), row_hashes(holdout.table, [name]))


def _finite(figures: dict[str, float]) -> dict[str, float]:
    return {name: figure for name, figure in figures.items() if math.isfinite(figure)}
