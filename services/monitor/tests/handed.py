"""The types of what the monitor's fixtures hand to tests."""

from typing import Protocol, TypeVar

Told = TypeVar("Told")


class Said(Protocol):
    """Gives the events of a type that were said, the oldest first: ``await said(AlertChanged)``."""

    async def __call__(self, kind: type[Told], /) -> list[Told]: ...
