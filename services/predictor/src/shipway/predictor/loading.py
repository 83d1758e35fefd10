"""Getting one version from the object store into memory: every check, then the model. Blocking, off the event loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version as installed
from types import MappingProxyType

import numpy as np

from shipway.bundle.capi import LightGBMError
from shipway.bundle.store import read_servable
from shipway.bundle.trial import Trials
from shipway.bundle.trial_scores import compare
from shipway.contract.errors import InvalidField, Permanent
from shipway.contract.rowencoding import RowEncoder
from shipway.contract.signature import Signature
from shipway.predictor.scoring import FAST_ROWS, Scorer
from shipway.runtime.objects import ObjectStore


@cache
def library_versions() -> Mapping[str, str]:
    """The versions of what scores here. Looked up once, as that reads files."""
    return MappingProxyType({name: installed(name) for name in ("lightgbm", "numpy")})


@dataclass(frozen=True)
class LoadedModel:
    """A version in memory."""

    digest: str
    signature: Signature
    scorer: Scorer

    @cached_property
    def encoder(self) -> RowEncoder:
        """What turns named values into the model's numbers."""
        return RowEncoder(self.signature)


def load(store: ObjectStore, digest: str, trials: Trials) -> LoadedModel:
    """Reads a bundle, proves its model file, tries it in a child process, loads it, and holds its golden rows again.

    Raises:
        Permanent: it must not be served; the message says why. Transient: the store is away.
    """
    bundle = read_servable(store, digest)
    check_library(bundle.manifest.library_versions)
    features, outputs = len(bundle.signature.features), bundle.signature.outputs_per_row
    facts = trials.prove(bundle.model_text, features, bundle.golden_rows, bundle.golden_scores)
    try:
        scorer = Scorer(bundle.model_text, features, outputs, explaining=facts.leaves * facts.depth**2)
        _warm_up(scorer, bundle.golden_rows, bundle.golden_scores)
    except LightGBMError as err:
        raise Permanent(f"model.txt: LightGBM says: {err}") from err
    return LoadedModel(digest, bundle.signature, scorer)


def _warm_up(scorer: Scorer, rows: np.ndarray, golden: np.ndarray) -> None:
    """Both paths give the golden scores, and have run once."""
    try:
        compare(scorer.score(np.tile(rows, (-(-FAST_ROWS // len(rows)), 1)))[: len(rows)], golden)
        # Few rows a call, so that all go by the fast path.
        parts = [scorer.score(rows[i : i + FAST_ROWS - 1]) for i in range(0, len(rows), FAST_ROWS - 1)]
        compare(np.vstack(parts), golden)
    except Permanent:
        scorer.close()
        raise


def check_library(versions: dict[str, str]) -> None:
    """Holds what a bundle was made with against what serves here: another LightGBM may read its model another way.

    Raises:
        InvalidField: they differ by more than a patch.
    """
    trained, ours = versions.get("lightgbm", "unknown"), library_versions()["lightgbm"]
    if trained.split(".")[:2] != ours.split(".")[:2]:
        raise InvalidField("library_versions.lightgbm", f"trained with {trained}, but {ours} serves here; retrain it")
