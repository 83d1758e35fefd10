"""What the labels of a model's day say, once they had time to come. Within a transaction."""

from datetime import datetime, timedelta

from shipway.contract.spec import ModelSpec
from shipway.monitor import findings, judgement, labeldays, qualities, windows
from shipway.monitor.labeldays import DAYS_BEFORE, LabelDay
from shipway.runtime.database import Transaction

HOUR = timedelta(hours=1)


def rule_of(spec: ModelSpec) -> labeldays.Rule:
    """When a day's labels are unusual."""
    said = spec.monitoring
    return labeldays.Rule(judgement.rule_of(spec), said.gap_rise, said.min_labels, spec.labels.mature_after)


async def found(tx: Transaction, model: str, spec: ModelSpec, day_end: datetime) -> list[judgement.Finding]:
    """Of the day up to ``day_end`` less the time that labels may take, beside those before it, whichever versions
    answered then.
    """
    ripe = windows.begin_of(day_end - spec.labels.mature_after, HOUR)
    known = await qualities.days_before(tx, model, ripe, DAYS_BEFORE + 1)
    recent = await findings.states_of(tx, model, judgement.WHOLE_MODEL, judgement.BY_DAY)
    days = [LabelDay(ago, answered, sums) for ago, (answered, sums) in enumerate(known)]
    return labeldays.judge(days, spec.target.kind, rule_of(spec), recent)
