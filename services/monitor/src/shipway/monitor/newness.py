"""Whether more of a day's predictions than usual have a combination of values that the weeks before did not have. Pure.

A new schedule, a new tariff or a new way to code changes how values go together, and no column by itself. So the share
of a day's rows whose combination is new is held against what such shares were on the days before (see recentdays): some
combinations are always new, on Saturdays more. What has come stays known: a change is found once, and is usual after.
"""

from collections.abc import Mapping, Sequence

from shipway.monitor import drift
from shipway.monitor.judgement import NEW_COMBINATIONS, WHOLE_MODEL, Finding
from shipway.monitor.recentdays import Day, shift

LOOK_BACK = 28  # days in which a combination is known: four of each weekday
LEAST_LOOK_BACK = 14  # of them that must have predictions
# Days whose shares say what is usual. A change takes the week in which each weekday has it for the first time: in a
# season of changes four weeks hold little else, in a quarter of a year they are few.
DAYS_BEFORE = 84


def judge(days: Mapping[str, Sequence[Day]], rule: drift.Rule, recent: Mapping[str, Sequence[str]]) -> list[Finding]:
    """What the day that was 0 days ago says of each combination of columns: ``times`` of a day are its rows with a new
    one. ``recent``: the states of the days before, by combination, the newest last.
    """
    shifts = {}
    for name, known in days.items():
        enough = [day for day in known if day.rows >= rule.min_rows]
        today = next((day for day in enough if day.ago == 0), None)
        shifts[name] = shift(today, [day for day in enough if day.ago > 0]) if today is not None else None
    chances = {name: one.above for name, one in shifts.items() if one is not None}
    found = dict(zip(chances, drift.discoveries(list(chances.values()), rule.false_discoveries), strict=True))
    said = []
    for name, one in shifts.items():
        if one is None:
            words = f"a day of {rule.min_rows} predictions, and four weeks before it, are needed"
            said.append(Finding(WHOLE_MODEL, NEW_COMBINATIONS, name, "insufficient", False, None, None, None, words))
            continue
        p = chances[name]
        state = "drift" if found[name] and one.effect >= rule.effect else "ok"
        sudden = state == "drift" and one.effect >= rule.at_once and p * len(chances) <= drift.SURE_AT_ONCE
        alarm = sudden or drift.alarmed([*recent.get(name, ()), state], rule)
        words = (
            f"{one.share:.1%} of a day's predictions have a combination of {name} that the {LOOK_BACK} days before did"
            f" not have; {one.usual:.1%} are usual (p = {p:.2g})"
        )
        limit = one.usual + rule.effect
        said.append(Finding(WHOLE_MODEL, NEW_COMBINATIONS, name, state, alarm, one.share, limit, p, words))
    return said


def share_of(new: int, rows: int, looked_back: int, ago: int = 0) -> Day | None:
    """A day's share; None where so few of the days before it had predictions that anything may be new."""
    return Day(new, rows, ago) if rows > 0 and looked_back >= LEAST_LOOK_BACK else None
