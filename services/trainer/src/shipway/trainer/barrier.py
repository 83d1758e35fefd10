"""A request is trained under what was declared before it, though the two come by different topics.

Whoever publishes a declaration and then a request has the broker's word for the first before it sends the second.
So a job may start once the trainers' group has handled every declaration that the broker held when the job was
first looked at. That holds for every client, and needs nothing of it.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from shipway.runtime import log
from shipway.runtime.consumer import Progress

_log = log.get(__name__)
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Goal:
    """What must be read before a job starts: offsets by partition; since when it is waited for."""

    ends: Mapping[int, int]
    since_s: float

    def reached(self, progress: Mapping[int, Progress]) -> bool:
        """Whether a group that is so far has read it. A broker that lost its data has nothing left to read."""
        return all(
            p not in progress or progress[p].committed >= min(end, progress[p].end) for p, end in self.ends.items()
        )


class Barrier:
    """Which new jobs may start. ``progress`` tells how far the group is with the declarations; may raise Transient.

    A goal that is not reached within ``patience_s`` is given up with a warning: a declaration that no trainer
    can handle must not keep every training from starting.
    """

    def __init__(
        self,
        progress: Callable[[], Awaitable[Mapping[int, Progress]]],
        clock: Callable[[], float],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._progress = progress
        self._clock = clock
        self._patience_s = patience_s
        self._goals: dict[str, Goal] = {}
        self._passed: set[str] = set()

    def held(self, new: Collection[str]) -> frozenset[str]:
        """Those of the new jobs that may not start yet; whatever is not among the new is forgotten."""
        self._passed.intersection_update(new)
        self._goals = {request_id: goal for request_id, goal in self._goals.items() if request_id in new}
        return frozenset(new) - self._passed

    async def look(self, held: Collection[str]) -> bool:
        """Looks how far the declarations are read; True where a held job may start now.

        Raises:
            Transient: the broker does not answer.
        """
        if not held:
            return False
        progress = await self._progress()
        now_s = self._clock()
        fresh = Goal({p: at.end for p, at in progress.items()}, now_s)
        for request_id in held:
            goal = self._goals.setdefault(request_id, fresh)
            late = now_s > goal.since_s + self._patience_s
            if late:
                _log.warning("declarations before a request are not read in time; going on", request_id=request_id)
            if late or goal.reached(progress):
                self._passed.add(request_id)
        return not self._passed.isdisjoint(held)
