"""What a model file may say of a ranking alone, and what it can't say of one. Pure."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shipway.contract.spec.model import ModelSpec

# Parameters of LightGBM that mean something for one kind of target only.
_OF_RANKINGS = ("lambdarank_truncation_level", "lambdarank_norm")
_OF_OTHERS = ("scale_pos_weight", "is_unbalance", "alpha", "tweedie_variance_power")


def check_ranking(spec: "ModelSpec") -> None:
    """Holds a model file to what its kind of target can be asked.

    Raises:
        ValueError: names the field and the remedy.
    """
    if spec.target.kind == "ranking":
        _check_what_a_ranking_says(spec)
        _check_what_it_can_not_say(spec)
        return
    for field, said in (("data.query_column", spec.data.query_column), ("gates.ndcg_at", spec.gates.ndcg_at != 10)):
        if said:
            raise ValueError(f'{field}: goes with target.kind = "ranking"; remove it, or change the target')
    _check_params(spec, _OF_RANKINGS, f"a {spec.target.kind} target")


def _check_what_a_ranking_says(spec: "ModelSpec") -> None:
    query = spec.data.query_column
    if query is None:
        raise ValueError("data.query_column: must name the column that says which rows are ranked together; add it")
    if query in spec.features:
        raise ValueError(f"features.{query}: is the query, which is another one in each request; remove it")
    taken = {spec.target.column: "the target", spec.data.time_column: "the time column"}
    if spec.data.id_column is not None:
        taken[spec.data.id_column] = "the id of a row"
    if query in taken:
        raise ValueError(f"data.query_column: {query!r} is {taken[query]}; name the column that many rows share")


def _check_what_it_can_not_say(spec: "ModelSpec") -> None:
    if spec.target.classes is not None:
        raise ValueError("target.classes: the target of a ranking is a relevance, from 0 to 30; remove them")
    if spec.data.from_history and spec.prediction_log.sample != 1:
        raise ValueError("prediction_log.sample: a sample has parts of queries; keep all, or change data.source")
    for field, limit in (
        ("gates.max_calibration_error", spec.gates.max_calibration_error),
        ("monitoring.max_calibration_error", spec.monitoring.max_calibration_error != 0.1),
    ):
        if limit:
            raise ValueError(f"{field}: scores of a ranking state no probability and no value; remove it")
    if by_probability := sorted({"calibration", "estimated_quality"} & {*spec.retraining.on}):
        raise ValueError(
            f'retraining.on: {by_probability[0]} is of probabilities, which a ranking has not; use "quality"'
        )
    _check_params(spec, _OF_OTHERS, "a ranking")


def _check_params(spec: "ModelSpec", others: tuple[str, ...], kind: str) -> None:
    for name in others:
        if name in spec.training.params:
            raise ValueError(f"training.params.{name}: means nothing for {kind}; remove it")
        if name in spec.search.space:
            raise ValueError(f"search.space.{name}: means nothing for {kind}; remove it")
