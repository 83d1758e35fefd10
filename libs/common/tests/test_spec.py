"""The model file: every wrong field is named, with the remedy."""

import zoneinfo
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.contract.spec import (
    InvalidSpec,
    format_duration,
    parse_duration,
    parse_spec,
    parse_toml,
    recorded_spec,
    to_builtins,
)

GOOD = """
name = "flights"
[data]
source = "folder:/data/flights"
time_column = "at"
train = "75d"
holdout = "14d"
[target]
column = "late"
kind = "binary"
[features]
distance = { type = "number" }
carrier = { type = "category" }
[training]
rounds = 50
[training.params]
num_leaves = 31
[retirement]
max_age = "30d"
unused_for = "1d"
"""


def test_bundles_are_removed_after_a_time_that_is_said() -> None:
    with pytest.raises(InvalidSpec, match=r"retirement.*keep_bundles: say for how long .* remove_bundles_after"):
        parse_toml(GOOD + "keep_bundles = false\n")
    with pytest.raises(InvalidSpec, match=r"retirement\.remove_bundles_after"):
        parse_toml(GOOD + 'remove_bundles_after = "1m"\n')
    assert parse_toml(GOOD + 'remove_bundles_after = "30d"\n').retirement.remove_bundles_after is not None


@pytest.mark.parametrize("sticky", ["cookie:x", "header:", "header:a b", "feature:colour", "X-Shipway-Key"])
def test_a_release_sticks_to_a_header_or_a_feature_that_is_there(sticky: str) -> None:
    with pytest.raises(InvalidSpec, match=r"release.*sticky: .*(must be header:NAME or feature:NAME|name one)"):
        parse_toml(GOOD + f'[release]\nsticky = "{sticky}"\n')
    for good in ("header:X-Shipway-Key", "feature:carrier"):
        assert parse_toml(GOOD + f'[release]\nsticky = "{good}"\n').release.sticky == good


LOOKUP = """
[[lookups]]
table = "carriers"
key = "flight"
features = ["carrier"]
"""


@pytest.mark.parametrize(
    ("line", "instead", "field", "remedy"),
    [
        ('table = "carriers"', 'table = "Carriers"', "lookups.0.table", "lower-case"),
        ('table = "carriers"', 'tabel = "carriers"', "lookups.0.tabel", "did you mean 'table'"),
        ('key = "flight"', "", "lookups.0.key", "is required"),
        ('key = "flight"', 'key = "carrier"', "lookups.0.key", "looked up itself; name a field that requests give"),
        ('key = "flight"', 'key = "late"', "lookups.0.key", "is the target or the time column"),
        ('["carrier"]', '["plane"]', "lookups.0.features", "'plane' is none of the features; declare it"),
        ('["carrier"]', '["carrier", "carrier"]', "lookups.0.features", "'carrier' is looked up twice"),
        ('["carrier"]', "[]", "lookups.0.features", "at least 1 item"),
        ('["carrier"]', '["carrier"]\nmissing = "guess"', "lookups.0.missing", "'refuse' or 'null'"),
        ('["carrier"]', '["carrier"]\nmax_age = "old"', "lookups.0.max_age", "must be a duration"),
    ],
)
def test_a_wrong_look_up_is_named(line: str, instead: str, field: str, remedy: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse_toml(GOOD + LOOKUP.replace(line, instead))
    assert any(problem.field == field and remedy in problem.problem for problem in caught.value.problems), caught.value


def test_a_look_up_agrees_with_its_features_and_with_what_a_release_sticks_to() -> None:
    good = parse_toml(GOOD + LOOKUP)
    assert parse_spec(to_builtins(good)) == good
    assert "lookups" not in to_builtins(parse_toml(GOOD)), "a service of the release before reads it"
    strict = GOOD.replace('{ type = "category" }', '{ type = "category", nullable = false }')
    with pytest.raises(InvalidSpec, match=r"lookups\.0\.missing: .* not nullable; make it nullable, or say"):
        parse_toml(strict + LOOKUP + 'missing = "null"\n')
    loose = GOOD.replace('{ type = "category" }', '{ type = "category", optional = true }')
    with pytest.raises(InvalidSpec, match=r'lookups\.0\.missing: .* may be left out; say missing = "null"'):
        parse_toml(loose + LOOKUP)
    with pytest.raises(InvalidSpec, match=r"release\.sticky: requests do not give what is looked up; .*feature:flight"):
        parse_toml(GOOD + '[release]\nsticky = "feature:carrier"\n' + LOOKUP)
    assert parse_toml(GOOD + '[release]\nsticky = "feature:flight"\n' + LOOKUP).release.sticky == "feature:flight"


def test_a_good_file_comes_back_from_json() -> None:
    spec = parse_toml(GOOD)
    assert parse_spec(to_builtins(spec)) == spec
    assert spec.metric == "auc"


def test_what_a_newer_release_recorded_is_read_and_what_people_write_is_not() -> None:
    spec = parse_toml(GOOD)
    grown = to_builtins(spec) | {"explanations": {"method": "shap"}}
    grown["data"] = grown["data"] | {"timezone": "UTC"}
    grown["features"] = {name: feature | {"unit": "km"} for name, feature in grown["features"].items()}
    assert recorded_spec(grown) == spec
    with pytest.raises(InvalidSpec, match=r"data\.timezone.*explanations"):
        parse_spec(grown)
    with pytest.raises(InvalidSpec, match=r"data\.train: is required"):
        recorded_spec(grown | {"data": {"source": "folder:/x"}})


def _combining(columns: str, times: int = 1, log: str = "") -> str:
    """A file's sections that ask for combinations of columns to be watched."""
    wanted = ", ".join([columns] * times)
    return f"[prediction_log]\n{log}\n[monitoring]\ncombinations = [{wanted}]\n[retirement]"


def test_combinations_are_watched_where_the_log_keeps_their_columns() -> None:
    good = parse_toml(GOOD.replace("[retirement]", _combining('["distance", "carrier"]', log='keep = "30d"')))
    assert good.monitoring.combinations == [["distance", "carrier"]] and parse_spec(to_builtins(good)) == good
    assert "monitoring" not in to_builtins(parse_toml(GOOD)), "a service of the release before reads it"


@pytest.mark.parametrize(
    ("line", "instead", "field", "remedy"),
    [
        ('name = "flights"', 'name = "Flights!"', "name", "lower-case"),
        ('train = "75d"', 'train = "75 days"', "data.train", "must be a duration"),
        ('train = "75d"', 'trian = "75d"', "data.trian", "did you mean 'train'"),
        ('train = "75d"', "", "data.train", "is required"),
        ('kind = "binary"', 'kind = "ternary"', "target.kind", "multiclass"),
        ("distance = {", "late = {", "features.late", "would leak"),
        ('{ type = "number" }', '{ type = "numeric" }', "features.distance.type", "number"),
        ('{ type = "number" }', '{ typ = "number" }', "features.distance.typ", "did you mean 'type'"),
        ("num_leaves = 31", "num_leafs = 31", "training.params.num_leafs", "did you mean 'num_leaves'"),
        ("num_leaves = 31", 'num_leaves = "31"', "training.params.num_leaves", "must be int"),
        ("num_leaves = 31", 'input_model = "/etc/passwd"', "training.params.input_model", "not an allowed"),
        ("num_leaves = 31", 'objective = "poisson"', "training.params.objective", "a binary target allows"),
        ("rounds = 50", "rounds = 0", "training.rounds", "greater than or equal to 1"),
        ("[retirement]\nmax_age", "[other]\nmax_age", "retirement", "is required"),
        ('"folder:/data/flights"', '"/data/flights"', "data.source", "folder:"),
        ("[retirement]", "[release]\ncanary = [0.5, 0.1]\n[retirement]", "release.canary", "rising"),
        ("[retirement]", '[gates]\nmetric = "rmse"\n[retirement]', "gates.metric", "binary target allows"),
        ("[retirement]", '[gates]\nslices = ["late"]\n[retirement]', "gates.slices", "is the target"),
        ("[retirement]", '[gates]\nslices = ["x", "x"]\n[retirement]', "gates.slices", "name each column once"),
        ("[retirement]", "[gates]\nstability_runs = 1\n[retirement]", "gates.stability_runs", "set 2 or more, or 0"),
        ("[retirement]", "[gates]\nconfidence = 0.5\n[retirement]", "gates.confidence", "greater than 0.5"),
        ("[retirement]", '[prediction_log]\nredact = ["age"]\n[retirement]', "prediction_log.redact", "not a feature"),
        ("[retirement]", '[monitoring]\nslices = ["age"]\n[retirement]', "monitoring.slices", "not a feature"),
        (
            "[retirement]",
            '[prediction_log]\nredact = ["distance"]\n[monitoring]\nslices = ["distance"]\n[retirement]',
            "monitoring.slices",
            "remove one of them",
        ),
        ("[retirement]", _combining('["distance", "age"]'), "monitoring.combinations", "not a feature"),
        ("[retirement]", _combining('["distance"]'), "monitoring.combinations", "2 to 8 features"),
        ("[retirement]", _combining('["distance", "distance"]'), "monitoring.combinations", "named once"),
        ("[retirement]", _combining('["distance", "carrier"]', 2), "monitoring.combinations", "remove one"),
        (
            "[retirement]",
            _combining('["distance", "carrier"]', log='redact = ["carrier"]'),
            "monitoring.combinations",
            "remove one of them",
        ),
        ("[retirement]", _combining('["distance", "carrier"]', log="sample = 0"), "monitoring.combinations", "raise"),
        ("[retirement]", _combining('["distance", "carrier"]', log='keep = "7d"'), "monitoring.combinations", "15d"),
        ("[retirement]", '[prediction_log]\nlevel = "some"\n[retirement]', "prediction_log.level", "sampled"),
        ("[retirement]", '[prediction_log]\nlevel = "sampled"\n[retirement]', "prediction_log.sample", "0.1"),
        (
            "[retirement]",
            '[prediction_log]\nlevel = "none"\nsample = 1\n[retirement]',
            "prediction_log.sample",
            "remove",
        ),
    ],
)
def test_a_wrong_field_is_named_with_the_remedy(line: str, instead: str, field: str, remedy: str) -> None:
    assert line in GOOD
    with pytest.raises(InvalidSpec) as caught:
        parse_toml(GOOD.replace(line, instead, 1))
    problems = {p.field: p.problem for p in caught.value.problems}
    assert field in problems, problems
    assert remedy in problems[field]


def test_gates_that_nobody_set_are_not_written_so_that_the_release_before_reads_the_rest() -> None:
    spec = parse_toml(GOOD)
    assert set(to_builtins(spec)["gates"]) == {"metric", "floor", "min_holdout_rows", "max_bundle_mb"}
    strict = parse_toml(GOOD.replace("[retirement]", '[gates]\nslices = ["carrier"]\nmax_regression = 0\n[retirement]'))
    assert parse_spec(to_builtins(strict)) == strict
    assert to_builtins(strict)["gates"] | {"slices": ["carrier"], "max_regression": 0.0} == to_builtins(strict)["gates"]


@pytest.mark.parametrize("text", ["", "name = ", "a" * 10, "[" * 100_000, "x = " + "[" * 5000])
def test_what_is_not_a_model_file_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec):
        parse_toml(text)


@pytest.mark.parametrize("raw", [None, 1, [], "x", {"name": []}, {"features": {"a": 1}}, {"data": {"data": {}}}])
def test_any_data_is_refused_without_a_crash(raw: object) -> None:
    with pytest.raises(InvalidSpec):
        parse_spec(raw)


@pytest.mark.parametrize(
    ("said", "sample"),
    [('level = "all"', 1.0), ('level = "none"', 0.0), ('level = "sampled"\nsample = 0.2', 0.2), ("sample = 0.3", 0.3)],
)
def test_the_level_of_the_prediction_log_is_said_in_words_that_older_releases_know(said: str, sample: float) -> None:
    spec = parse_toml(GOOD.replace("[retirement]", f"[prediction_log]\n{said}\n[retirement]", 1))
    written = to_builtins(spec)
    assert written["prediction_log"]["sample"] == sample
    assert ("level" in written["prediction_log"]) is ("level" in said)
    assert parse_spec(written) == spec


@pytest.mark.parametrize("text", ["90d", "12h", "30m", "10s", "250ms", "36h"])
def test_durations(text: str) -> None:
    assert parse_duration(format_duration(parse_duration(text))) == parse_duration(text)


@pytest.mark.parametrize(
    ("micros", "text"),
    [(1, "0.001ms"), (400, "0.4ms"), (1500, "1.5ms"), (1000, "1ms"), (0, "0ms"), (10_000_000, "10s")],
)
def test_a_duration_is_written_to_the_microsecond(micros: int, text: str) -> None:
    assert format_duration(timedelta(microseconds=micros)) == text


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3650)))
def test_every_duration_is_read_back_as_it_was(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


def test_time_zones_are_known_without_those_of_the_machine() -> None:
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    try:
        assert zoneinfo.ZoneInfo.no_cache("Europe/Berlin").key == "Europe/Berlin"
    finally:
        zoneinfo.reset_tzpath(to=before)


RANKING = GOOD.replace('kind = "binary"', 'kind = "ranking"').replace("[target]", 'query_column = "search"\n[target]')


def test_a_ranking_names_its_queries_and_is_compared_by_ndcg() -> None:
    spec = parse_toml(RANKING)
    assert (spec.metric, spec.gates.ndcg_at, spec.data.query_column) == ("ndcg", 10, "search")
    assert parse_spec(to_builtins(spec)) == spec
    assert not {"query_column", "ndcg_at"} & {*to_builtins(parse_toml(GOOD))["data"], *to_builtins(spec)["gates"]}
    objective = RANKING.replace("num_leaves = 31", 'objective = "rank_xendcg"\nlambdarank_truncation_level = 13')
    assert parse_toml(objective).training.params["objective"] == "rank_xendcg"
    acts = '[monitoring]\non_quality = "degrade"\n[retraining]\non = ["quality"]\n[release]\nloss_worse_by = 0.1\n'
    acting = parse_toml(RANKING.replace("[retirement]", f"{acts}[retirement]\nwhen_worse = true"))
    assert (acting.monitoring.on_quality, acting.retraining.on, acting.retirement.when_worse) == (
        "degrade",
        ["quality"],
        True,
    )


@pytest.mark.parametrize(
    ("line", "instead", "field", "remedy"),
    [
        ('query_column = "search"\n', "", "data.query_column", "add it"),
        ('"search"', '"late"', "data.query_column", "'late' is the target"),
        ('"search"', '"at"', "data.query_column", "is the time column"),
        ('"search"', '"row"\nid_column = "row"', "data.query_column", "is the id of a row"),
        ('"search"', '"carrier"', "features.carrier", "is the query"),
        ('kind = "ranking"', 'kind = "ranking"\nclasses = ["0", "1"]', "target.classes", "remove them"),
        ("num_leaves = 31", "is_unbalance = true", "training.params.is_unbalance", "means nothing for a ranking"),
        ("num_leaves = 31", 'objective = "binary"', "training.params.objective", "allows lambdarank, rank_xendcg"),
        ("[retirement]", '[gates]\nmetric = "auc"\n[retirement]', "gates.metric", "allows ndcg"),
        ("[retirement]", "[gates]\nmax_calibration_error = 0.1\n[retirement]", "gates.max_calibration_error", "remove"),
        ("[retirement]", '[retraining]\non = ["calibration"]\n[retirement]', "retraining.on", 'use "quality"'),
        (
            "[retirement]",
            "[search.space]\nscale_pos_weight = { min = 1, max = 2 }\n[retirement]",
            "search.space.scale_pos_weight",
            "means nothing for a ranking",
        ),
        ('kind = "ranking"', 'kind = "binary"', "data.query_column", 'goes with target.kind = "ranking"'),
    ],
)
def test_what_can_not_be_said_of_a_ranking_is_named(line: str, instead: str, field: str, remedy: str) -> None:
    assert line in RANKING
    with pytest.raises(InvalidSpec) as caught:
        parse_toml(RANKING.replace(line, instead, 1))
    assert remedy in {p.field: p.problem for p in caught.value.problems}[field]


def test_a_ranking_learns_from_its_history_where_that_has_whole_queries() -> None:
    lived = RANKING.replace('"folder:/data/flights"', '"history"')
    assert parse_toml(lived).data.from_history
    with pytest.raises(InvalidSpec, match=r"prediction_log\.sample: a sample has parts of queries; keep all"):
        parse_toml(lived + "[prediction_log]\nsample = 0.5\n")


def test_what_only_a_ranking_has_is_refused_of_others() -> None:
    with pytest.raises(InvalidSpec, match=r'gates\.ndcg_at: goes with target\.kind = "ranking"'):
        parse_toml(GOOD.replace("[retirement]", "[gates]\nndcg_at = 5\n[retirement]"))
    with pytest.raises(InvalidSpec, match=r"params\.lambdarank_norm: means nothing for a binary target"):
        parse_toml(GOOD.replace("num_leaves = 31", "lambdarank_norm = false"))
