"""Whether a version is whole, of a fit size, and can take over from the champion without breaking clients."""

from shipway.contract.events import Gate
from shipway.evaluator.compatibility import incompatibilities
from shipway.evaluator.facts import Champion, Evidence, Latency, Opened
from shipway.evaluator.gates.outcome import NOT_JUDGED, UNREADABLE, gate, problem_gate


def bundle_intact(evidence: Evidence) -> Gate:
    """Every file is the one that the manifest names."""
    return problem_gate("bundle-intact", evidence.bundle_problem, "every file has the hash of the manifest")


def model_file(evidence: Evidence) -> Gate:
    """The model file is safe to open."""
    return problem_gate("model-file", evidence.model_file_problem, "its structure is that of a LightGBM model")


def golden_rows(evidence: Evidence) -> Gate:
    """A process of its own gives the scores that training gave."""
    return problem_gate("golden-rows", evidence.golden_problem, "a fresh process gives the golden rows' scores")


def size(opened: Opened | None) -> Gate:
    """The bundle keeps to its size."""
    if opened is None:
        return gate("size", False, UNREADABLE)
    megabytes, limit = opened.total_bytes / 1e6, opened.spec.gates.max_bundle_mb
    return gate("size", megabytes <= limit, f"{megabytes:.1f} MB, {limit:g} MB are allowed", megabytes, limit)


def latency(opened: Opened, taken: Latency | None) -> Gate:
    """A row's prediction keeps to its time."""
    limit = opened.spec.gates.max_latency_ms
    if taken is None:
        return gate("latency", False, NOT_JUDGED + "there is no row to predict", None, limit)
    words = f"a row takes {taken.p50_ms:.3g} ms, {taken.p95_ms:.3g} ms at the 95th percentile; {limit:g} ms are allowed"
    return gate("latency", taken.p95_ms <= limit, words, taken.p95_ms, limit)


def signature_compatible(opened: Opened | None, champion: Champion | None) -> Gate:
    """What clients of the champion send is taken, and means the same."""
    name = "signature-compatible"
    if opened is None:
        return gate(name, False, UNREADABLE)
    if champion is None:
        return gate(name, True, "there is no champion yet, so no client to break")
    if champion.signature is None:
        return gate(name, False, f"the signature of champion {champion.version} can't be read; roll it back first")
    found = incompatibilities(champion.signature, opened.signature)
    words = "; ".join(found) or f"takes all that champion {champion.version} takes"
    return gate(name, not found, words, len(found), 0)
