"""Decides whether and when a process that ended is started again. Pure: times come in as numbers."""

from dataclasses import dataclass, replace

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
STEADY_S = 30.0
STARTS_BEFORE_GIVING_UP = 3
WRONG_SETTING = 2


@dataclass(frozen=True)
class History:
    """What is known of a process's ends: in all, and in a row (a long enough run breaks the row)."""

    restarts: int = 0
    in_a_row: int = 0
    was_ready: bool = False


def ended(history: History, ran_s: float) -> tuple[History, float]:
    """The history after one more unasked end, and the delay in seconds before the next start.

    The delay doubles with every end in a row, from 0.2 s up to 10 s.
    """
    in_a_row = 1 if ran_s >= STEADY_S else history.in_a_row + 1
    delay_s = min(FIRST_DELAY_S * 2.0 ** min(in_a_row - 1, 10), LONGEST_DELAY_S)
    return replace(history, restarts=history.restarts + 1, in_a_row=in_a_row), delay_s


def hopeless(history: History, exit_code: int) -> bool:
    """Whether waiting for it makes no sense: it was never ready, and refused its settings or ended three times.

    It is started again all the same; only who waits for its first readiness is told.
    """
    if history.was_ready:
        return False
    return exit_code == WRONG_SETTING or history.in_a_row >= STARTS_BEFORE_GIVING_UP
