"""The stages of an import, in the child: the signature and the model that were trained elsewhere, out of hostile files.

The files are in the object store under ``imports/<sha256>``; the command that named them is signed (docs/security.md).
"""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from shipway.bundle.boosting import Prepared, Trained, booster_of
from shipway.bundle.features import encode_table, encode_target
from shipway.bundle.golden import open_golden
from shipway.bundle.manifest import sha256
from shipway.bundle.modelfile import check_model_text
from shipway.bundle.ranking import in_queries, newest_rows
from shipway.bundle.referencedays import days_of
from shipway.bundle.store import Limits
from shipway.bundle.trial import try_in_child
from shipway.bundle.uploads import key_of_upload
from shipway.contract.arrowbounds import check_schema
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.signature import MAX_SIGNATURE_BYTES, Signature, encode_signature, parse_signature
from shipway.runtime.objects import ObjectMissing
from shipway.trainer import foreign
from shipway.trainer.kinds import StageName
from shipway.trainer.stages import BEGINS
from shipway.trainer.work import Work

_SAMPLE = 1000
_GOLDEN_BYTES = 50_000_000


def preprocess(work: Work, table: pa.Table) -> tuple[tuple[Signature, Prepared], dict[str, Any]]:
    """The signature that came with the model, and the rows as its numbers: what the version's reference is made of.

    Raises:
        Permanent: the signature does not fit the model file, or the data does not fit it.
    """
    work.tell(BEGINS["preprocess"], f"{table.num_rows:,} rows")
    raw = _upload(work, "signature.json", MAX_SIGNATURE_BYTES)
    try:
        decoded = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise InvalidField("signature.json", f"is no JSON: {err}") from err
    signature = foreign.fitted(work.spec, parse_signature(decoded))
    encode_signature(signature)
    table, queries = in_queries(work.spec, table)
    labels, known = encode_target(signature, table)
    if not known.any():
        raise InvalidField("signature.classes", f"no row of the data has one of them as {signature.target!r}")
    table, labels = table.filter(pa.array(known)), labels[known]
    queries = None if queries is None else queries[known]
    validation = newest_rows(queries, len(labels), work.spec.training.validation)
    days = days_of(table.column(work.spec.data.time_column))
    rows = Prepared(encode_table(signature, table), labels, validation, days, queries)
    return (signature, rows), {"rows": len(rows.labels), "validation_rows": validation}


def adopt(work: Work, prepared: tuple[Signature, Prepared]) -> tuple[Trained, dict[str, Any]]:
    """The model, proven sound, tried on its golden rows in a process of its own, and asked for scores of real rows.

    Raises:
        Permanent: it is no such model, does not fit its signature, or does not give its golden scores.
    """
    signature, rows = prepared
    work.tell(BEGINS["import"], "the model file")
    text = _upload(work, "model.txt", Limits().model_bytes)
    facts = check_model_text(text, features=len(signature.features), outputs=signature.outputs_per_row)
    foreign.check_objective(facts.objective, signature)
    foreign.check_names(text, signature)
    foreign.check_categories(text, signature)
    if "golden.parquet" in work.told:
        try_in_child(text, *_golden(work, signature))
    booster = booster_of(text)
    gains = booster.feature_importance("gain").tolist()
    model = Trained(text, facts.trees // signature.outputs_per_row, gains, booster)
    foreign.check_scores(model.scores(rows.features[-_SAMPLE:]), signature)
    return model, {"rounds": model.rounds}


def _golden(work: Work, signature: Signature) -> tuple[Any, Any]:
    data = _upload(work, "golden.parquet", _GOLDEN_BYTES)
    scores = foreign.golden_columns(signature)
    try:
        file = open_golden(data, Limits().golden_rows)
        check_schema(file.schema_arrow, columns=work.allowed.max_columns, nesting=work.allowed.max_nesting)
        if missing := [name for name in scores if name not in file.schema_arrow.names]:
            raise InvalidField(
                "golden.parquet", f"has no column {missing[0]!r}; it holds what the model gives for a row"
            )
        table = file.read()
        wanted = np.column_stack([table.column(name).cast(pa.float64()).to_numpy() for name in scores])
    except (pa.ArrowException, OSError, ValueError) as err:
        raise InvalidField("golden.parquet", str(err)) from err
    return encode_table(signature, table), np.ascontiguousarray(wanted)


def _upload(work: Work, name: str, max_bytes: int) -> bytes:
    digest = work.told[name]
    try:
        data = work.store.get(key_of_upload(digest), max_bytes)
    except ObjectMissing as err:
        raise Permanent(f"{name}: is not in the object store as {key_of_upload(digest)}; import it again") from err
    if sha256(data) != digest:
        raise Permanent(f"{name}: is not the file that was to be imported (its hash differs); import it again")
    return data


# What an import does otherwise than a training.
ADOPT: dict[StageName, Callable[..., tuple[Any, dict[str, Any]]]] = {"preprocess": preprocess, "import": adopt}
