"""The two kinds of failure; the type decides what happens to an event.

Anything that is neither is a bug: it stops the service loudly.
"""


class Permanent(Exception):  # noqa: N818  the words of the design: what it is, not "Error"
    """It will fail the same way for ever: an event goes to the dead letters, a request is refused."""


class Transient(Exception):  # noqa: N818
    """A dependency is out: waited out with backoff, without moving on."""


class InvalidField(Permanent):
    """A value that breaks the contract, with the field and the remedy in its message.

    ``field`` is a path such as ``rows[2].distance``.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem
