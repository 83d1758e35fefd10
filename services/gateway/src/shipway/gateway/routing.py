"""Which version and which instance answer a request. Pure.

The table is desired state ∩ presence ∩ health: a version is routable on the instances that say they hold it,
ready and with the right digest, and that are well. A version that no instance can answer gives its share away
— to the champion, else to the others that have one, else to any version that is held, and to the candidate,
which is unproven, last of all: a request is answered as long as anybody can.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from shipway.contract.events import DesiredState, HeldVersion, Presence, Traffic
from shipway.contract.predictrequest import PlainRequests
from shipway.contract.rowencoding import RowEncoder
from shipway.contract.signature import Signature, parse_signature
from shipway.gateway.rendering import Rendering
from shipway.gateway.stickiness import Stickiness, parse_stickiness

_FALLBACK = ("champion", "last_good", "candidate", "standby")


@dataclass(frozen=True)
class Instance:
    """A predictor that can answer: its HTTP, and the host:port of its rows protocol."""

    name: str
    url: str
    rows: str = ""


@dataclass(frozen=True)
class Form:
    """How a version's rows are given. It goes from table to table, as a version never changes."""

    digest: str
    signature: Signature

    @cached_property
    def encoder(self) -> RowEncoder:
        """What turns a request's rows into the version's numbers."""
        return RowEncoder(self.signature)

    @cached_property
    def plain(self) -> PlainRequests | None:
        """What reads requests of JSON in which nothing is unusual; None where the version's can't be read so."""
        if self.signature.lookups:
            return None
        try:
            return PlainRequests(self.signature)
        except ValueError:
            return None


@dataclass(frozen=True)
class Route:
    """A version that can answer now, on these instances, with this share of the requests.

    ``shadow``: who gets copies of what it answers, where somebody does.
    """

    model: str
    version: int
    role: str
    generation: int
    share: float
    instances: tuple[Instance, ...]
    form: Form
    shadow: "Shadow | None" = None

    @property
    def signature(self) -> Signature:
        """The version's features, and what it gives."""
        return self.form.signature

    @property
    def encoder(self) -> RowEncoder:
        """What turns a request's rows into the version's numbers."""
        return self.form.encoder

    @cached_property
    def rendering(self) -> Rendering:
        """What makes answers of the version's numbers."""
        return Rendering(self.model, self.version, self.signature)

    @cached_property
    def key(self) -> tuple[str, int]:
        """What names the version."""
        return self.model, self.version


@dataclass(frozen=True)
class Shadow:
    """A version that gets a copy of such a share of the champion's requests; its answers go to nobody."""

    route: Route
    share: float


@dataclass(frozen=True)
class ModelRoutes:
    """A model's routes, the candidate's first; none when no instance can answer. The shares add up to 1.

    ``sticky``: what places a request among the shares, where they are not drawn by chance.
    """

    model: str
    generation: int
    wanted: Mapping[int, float]
    routes: tuple[Route, ...]
    sticky: Stickiness | None = None

    @property
    def whole(self) -> bool:
        """Whether every version that is to have a share of the requests has one."""
        sent_to = {route.version for route in self.routes if route.share > 0}
        return all(version in sent_to for version, share in self.wanted.items() if share > 0)

    def choose(self, draw: float) -> Route | None:
        """The route for a draw in [0, 1), by the shares; what the candidate has it keeps as its share grows."""
        passed = 0.0
        chosen: Route | None = None
        for route in self.routes:
            if route.share > 0:
                chosen = route
                passed += route.share
                if draw < passed:
                    break
        return chosen

    def of(self, version: int) -> Route | None:
        """The route of one version, whatever its share."""
        return next((route for route in self.routes if route.version == version), None)


def model_routes(
    state: DesiredState,
    presences: Iterable[Presence],
    well: Callable[[str], bool],
    before: ModelRoutes | None = None,
    looks_up: bool = True,
) -> ModelRoutes:
    """The routes of one model.

    Args:
        state: what is wanted.
        presences: what instances say of themselves.
        well: whether an instance, by name, passes its probes.
        before: the model's routes until now, for what stays as it is.
        looks_up: whether the look-up tables are read; until then, versions that look features up can't answer.

    Raises:
        Permanent: the signature of a version that can answer is none.
    """
    known = {route.form.digest: route.form for route in before.routes} if before is not None else {}
    healthy = [p for p in presences if p.rows and well(p.instance)]
    wanted = {t.version: t.share for t in state.traffic}
    able = [v for v in state.versions if looks_up or not v.signature.get("lookups")]
    routable = {v.version: (v, found) for v in able if (found := _instances(state.model, v, healthy))}
    shares = _shares(wanted, [held for held, _ in routable.values()])
    routes = [
        Route(
            model=state.model,
            version=number,
            role=held.role,
            generation=state.generation,
            share=shares.get(number, 0.0),
            instances=instances,
            form=known.get(held.digest) or Form(held.digest, parse_signature(held.signature)),
        )
        for number, (held, instances) in routable.items()
    ]
    routes.sort(key=lambda route: route.role != "candidate")
    candidate = next((v.version for v in state.versions if v.role == "candidate"), 0)
    sticky = parse_stickiness(state.sticky, f"{state.model}-{candidate}")
    return ModelRoutes(state.model, state.generation, wanted, tuple(_shadowed(routes, state.shadow)), sticky)


def _shadowed(routes: Sequence[Route], wanted: Traffic | None) -> Sequence[Route]:
    """The routes, the champion's with the shadow that is wanted, where that can answer."""
    shadow = next((route for route in routes if wanted is not None and route.version == wanted.version), None)
    if wanted is None or shadow is None or shadow.role == "champion":
        return routes
    copied = Shadow(shadow, wanted.share)
    return [replace(route, shadow=copied) if route.role == "champion" else route for route in routes]


def _instances(model: str, held: HeldVersion, presences: Sequence[Presence]) -> tuple[Instance, ...]:
    return tuple(
        Instance(p.instance, p.url, p.rows)
        for p in presences
        if any(
            v.model == model and v.version == held.version and v.digest == held.digest and v.state == "ready"
            for v in p.versions
        )
    )


def _shares(wanted: Mapping[int, float], routable: Sequence[HeldVersion]) -> dict[int, float]:
    """The shares of the routable versions, what others have lost given to the one that stands first in line."""
    if not routable:
        return {}
    shares = {v.version: max(0.0, wanted.get(v.version, 0.0)) for v in routable}
    total = sum(shares.values())
    heir = min(routable, key=lambda v: (_rank(v, shares[v.version]), -v.version)).version
    if total < 1.0:
        shares[heir] += 1.0 - total
        return shares
    return {version: share / total for version, share in shares.items()}


def _rank(version: HeldVersion, share: float) -> tuple[bool, bool, int]:
    """The champion first; then, of those with a share and of those without, by role; the candidate last."""
    without = version.role != "champion" and share == 0
    return version.role == "candidate", without, _FALLBACK.index(version.role)


def pick_instance(
    instances: Sequence[Instance], busy: Callable[[str], int], draw: Callable[[int], int], avoid: Collection[str]
) -> Instance | None:
    """The less busy of two instances drawn at random, none of those to avoid; None when all are.

    Two choices spread load almost as well as knowing the least busy, without herding
    (Mitzenmacher, The Power of Two Choices, 2001).
    """
    left = [i for i in instances if i.name not in avoid] if avoid else instances
    if len(left) < 2:
        return left[0] if left else None
    first = draw(len(left))
    second = (first + 1 + draw(len(left) - 1)) % len(left)
    return min(left[first], left[second], key=lambda i: busy(i.name))
