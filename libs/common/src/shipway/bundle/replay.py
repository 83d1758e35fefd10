"""Asking a version again what others were asked: logged predictions from the history, scored in a child process.

Reads the object store alone, so that ``shipway replay`` runs it where it is typed, and the evaluator for whoever
presses a button. Blocks.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shipway.bundle.features import encode_table, encode_target
from shipway.bundle.historyfiles import answered
from shipway.bundle.historylabels import labels_between
from shipway.bundle.historytypes import cast_feature
from shipway.bundle.modelfile import check_model_text
from shipway.bundle.ranking import Ranked, queries_of
from shipway.bundle.replaying import Replayed, comparison, in_order, most
from shipway.bundle.store import Bundle, read_bundle, read_file
from shipway.bundle.trial import score_in_child
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.history import FEATURE
from shipway.contract.signature import OF_NUMBERS, Signature, parse_signature
from shipway.runtime.objects import ObjectStore
from shipway.runtime.settings import DataSettings

TIMED_ROWS = 1000


class NothingToReplay(Permanent):
    """No prediction of that time can be asked again; the message says why not."""


@dataclass(frozen=True)
class Wanted:
    """Which predictions are asked again: the newest ``limit`` of ``start <= at < end``."""

    model: str
    start: datetime
    end: datetime
    limit: int


def replay(
    store: ObjectStore,
    wanted: Wanted,
    digest: str,
    digests: Mapping[int, str],
    allowed: DataSettings,
    *,
    timeout_s: float = 120.0,
    memory_mb: int = 4096,
) -> dict[str, Any]:
    """What the version ``digest`` says to logged predictions, beside what was said (see replaying.comparison).

    ``digests``: those of the model's versions, for what their scores mean; ``allowed``: what files may be like.
    ``timeout_s`` and ``memory_mb`` bound the process that scores.

    Raises:
        NothingToReplay: there is nothing to replay. Permanent: a feature was not logged, the bundle is another model's,
            or it or its model is not sound. Transient: the object store is away.
    """
    bundle = read_bundle(store, digest)
    if bundle.manifest.model != wanted.model:
        raise Permanent(f"the bundle is of model {bundle.manifest.model!r}")
    signature = bundle.signature
    check_model_text(bundle.model_text, features=len(signature.features), outputs=signature.outputs_per_row)
    hidden = sorted(set(bundle.spec.prediction_log.redact) & {f.name for f in signature.features})
    if hidden:
        raise InvalidField(f"features.{hidden[0]}", "is redacted, so the history does not have what was asked")
    left_out: Counter[str] = Counter()
    rows = _rows(store, wanted, bundle, digests, allowed, left_out)
    if rows is None:
        why = "".join(f", {count:,} {reason}" for reason, count in left_out.items())
        raise NothingToReplay(
            f"no prediction of {wanted.model} can be replayed in {_words(wanted)}{why}; choose another time"
        )
    table, logged = rows
    features = encode_table(signature, table)
    scored = score_in_child(
        bundle.model_text,
        features,
        signature.outputs_per_row,
        timed=min(TIMED_ROWS, len(features)),
        timeout_s=timeout_s,
        memory_mb=memory_mb,
    )
    labels, known = encode_target(signature, table)
    replayed = Replayed(
        logged=logged,
        again=scored.scores,
        labels=np.where(known, labels, np.nan),
        versions=np.asarray(table["version"].to_numpy(), np.int64),
        logged_s=np.asarray(table["latency_us"].to_numpy(), np.float64) / 1e6,
        again_s=scored.seconds,
        ranked=_ranked(bundle, table),
    )
    period = pc.min_max(table["at"]).as_py()
    told = {"model": wanted.model, "digest": digest, "from": period["min"].isoformat(), "to": period["max"].isoformat()}
    return told | comparison(signature, replayed) | {"left_out": most({why: n for why, n in left_out.items() if n})}


def _ranked(bundle: Bundle, table: pa.Table) -> Ranked | None:
    """The query of each row of a ranking: what one request asked a version under one name."""
    if bundle.signature.output != "ranking":
        return None
    request = pc.fill_null(table["trace_id"], "")
    version = table["version"].cast(pa.string())
    names = pc.binary_join_element_wise(version, request, queries_of(table["client_id"]), " ")
    numbers = pc.fill_null(pc.index_in(names, pc.unique(names).drop_null()), -1)
    return Ranked(np.asarray(numbers.to_numpy(), np.int64), bundle.spec.gates.ndcg_at)


def _rows(
    store: ObjectStore,
    wanted: Wanted,
    bundle: Bundle,
    digests: Mapping[int, str],
    allowed: DataSettings,
    left_out: Counter[str],
) -> tuple[pa.Table, Any] | None:
    """The newest rows that can be asked again, with their labels, and their scores in the order of our classes."""
    of_query = ("client_id", "trace_id") if bundle.signature.output == "ranking" else ()
    columns = ["scores", "latency_us", *of_query, *(FEATURE + feature.name for feature in bundle.signature.features)]
    parts: list[tuple[pa.Table, Any]] = []
    missing, day = wanted.limit, wanted.end
    while missing > 0 and day > wanted.start:
        begin = max(wanted.start, (day - timedelta(microseconds=1)).replace(hour=0, minute=0, second=0, microsecond=0))
        for _, found in answered(store, wanted.model, begin, day, columns, allowed):
            for part in _by_version(store, _with_features(bundle, found, left_out), bundle, digests, left_out):
                parts.append(part)
                missing -= len(part[0])
        day = begin
    if not parts:
        return None
    table, scores = pa.concat_tables([part for part, _ in parts]), np.concatenate([scores for _, scores in parts])
    newest = pc.sort_indices(table, [("at", "descending")]).slice(0, wanted.limit)
    table, scores = table.take(newest), scores[newest.to_numpy()]
    labels = labels_between(store, wanted.model, wanted.start.date(), wanted.end.date(), datetime.now(UTC), allowed)
    place = pc.index_in(table["prediction_id"], labels["prediction_id"].combine_chunks())
    kind = pa.float64() if bundle.signature.output in OF_NUMBERS else pa.string()
    return table.append_column(bundle.signature.target, labels["label"].cast(kind).take(place)), scores


def _with_features(bundle: Bundle, found: pa.Table, left_out: Counter[str]) -> pa.Table:
    """The rows under the features' own names; of those whose features were not kept nothing can be asked."""
    made = found.select([name for name in found.column_names if not name.startswith(FEATURE)])
    some = pa.array([False] * len(found), pa.bool_())
    for feature in bundle.signature.features:
        spec = bundle.spec.features[feature.name]
        if FEATURE + feature.name not in found.column_names and len(found) and not feature.optional:
            problem = "was not logged by the versions that answered; choose later rows"
            raise InvalidField(f"features.{feature.name}", problem)
        column = cast_feature(spec, feature.name, found)
        some = pc.or_(some, pc.is_valid(column))
        made = made.append_column(feature.name, column)
    left_out["features not kept"] += len(found) - (pc.sum(some).as_py() or 0)
    return made.filter(some)


def _by_version(
    store: ObjectStore, rows: pa.Table, bundle: Bundle, digests: Mapping[int, str], left_out: Counter[str]
) -> list[tuple[pa.Table, Any]]:
    found = []
    for version in pc.unique(rows["version"]).to_pylist():
        theirs = rows.filter(pc.and_(pc.equal(rows["version"], version), pc.is_valid(rows["scores"])))
        signature = _signature(store, digests.get(version))
        lists = theirs["scores"].combine_chunks()
        wide = len(theirs) and pc.all(pc.equal(pc.list_value_length(lists), bundle.signature.outputs_per_row)).as_py()
        scores = None
        if signature is not None and wide:
            flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(theirs), -1)
            told = np.isfinite(flat).all(axis=1)
            left_out["scores not kept"] += int((~told).sum())
            theirs, flat = theirs.filter(pa.array(told)), flat[told]
            scores = in_order(bundle.signature, signature, flat)
        if scores is None:
            left_out[f"answered by version {version}, whose scores are not comparable"] += len(theirs)
        else:
            found.append((theirs, scores))
    return found


def _signature(store: ObjectStore, digest: str | None) -> Signature | None:
    """What a version's scores mean; None where its bundle is not there any more."""
    if digest is None:
        return None
    try:
        return parse_signature(msgspec.json.decode(read_file(store, digest, "signature.json")))
    except (Permanent, msgspec.DecodeError):
        return None


def _words(wanted: Wanted) -> str:
    return f"{wanted.start:%Y-%m-%d %H:%M} to {wanted.end:%Y-%m-%d %H:%M}"
