"""The lines to predictors: a connection an instance, and over it a lane a version."""

import asyncio

from shipway.gateway.lanes import Lane
from shipway.gateway.link import Link
from shipway.gateway.registry import Registry
from shipway.gateway.routing import Instance, Route


class Lines:
    """Connections, made as they are needed, and dropped with the instances that are out."""

    def __init__(self, registry: Registry, silence_s: float) -> None:
        self._registry = registry
        self._silence_s = silence_s
        self._links: dict[str, asyncio.Task[Link]] = {}
        self._lanes: dict[tuple[str, str, int], Lane] = {}
        registry.on_out = self._out

    async def close(self) -> None:
        """Closes the connections."""
        for connecting in self._links.values():
            connecting.cancel()
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                connecting.result().close("the gateway stops")
        await asyncio.gather(*self._links.values(), return_exceptions=True)

    def lane(self, instance: Instance, route: Route) -> Lane:
        """The way of the version's requests to the instance."""
        key = (instance.rows, route.model, route.version)
        lane = self._lanes.get(key)
        if lane is None:
            # Versions and instances come and go: what none of the tables names any more goes here.
            self._lanes = {k: v for k, v in self._lanes.items() if not v.idle or self._registry.holds(*k)}
            address = instance.rows
            lane = Lane(route.model, route.version, lambda: self._link(address), lambda: self._connected(address))
            self._lanes[key] = lane
        return lane

    def _link(self, address: str) -> Link | None:
        """The connection to an address, where there is one."""
        connecting = self._links.get(address)
        if connecting is None or not connecting.done() or connecting.cancelled() or connecting.exception() is not None:
            return None
        link = connecting.result()
        return None if link.lost else link

    async def _connected(self, address: str) -> Link:
        """The connection to an address; the first that asks makes it, and all wait for it.

        Raises:
            NotSent: nobody answers there.
        """
        if (link := self._link(address)) is not None:
            return link
        connecting = self._links.get(address)
        if connecting is None or connecting.done():
            connecting = self._links[address] = asyncio.create_task(Link.connect(address, self._silence_s))
        return await asyncio.shield(connecting)

    def _out(self, instance: Instance, why: str) -> None:
        """An instance is out: what it has in hand is asked elsewhere, and what is kept for it goes."""
        for key in [key for key in self._lanes if key[0] == instance.rows]:
            self._lanes.pop(key).fail(why)
        connecting = self._links.pop(instance.rows, None)
        if connecting is not None:
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                connecting.result().close(why)
            else:
                connecting.cancel()
