"""Whether clients of one version can go on unchanged with another: what it takes, and what its answers mean."""

from collections.abc import Iterator

from shipway.contract.lookups import Lookup
from shipway.contract.signature import Feature, Signature

_REMEDY = "declare a new model for a new contract"


def incompatibilities(old: Signature, new: Signature) -> list[str]:
    """What breaks clients of ``old`` that talk to ``new``, each naming its feature; empty if nothing does."""
    found: list[str] = []
    before, after = ({f.name: f for f in s.features} for s in (old, new))
    nulls = {name for one in new.lookups if one.missing == "null" for name in one.features}
    found += [f"{name}: clients send it, but it is no feature any more" for name in before if name not in after]
    for name, feature in after.items():
        if name in before:
            found += [f"{name}: {change}" for change in _stricter(before[name], feature)]
        elif not feature.optional and name not in nulls:
            found.append(f"{name}: is a new required feature; make it optional")
    found += _less_looked_up(old, new)
    if old.output != new.output:
        found.append(f"target: the output was {old.output} and is {new.output}; {_REMEDY}")
    elif old.target != new.target:
        found.append(f"target: was {old.target!r} and is {new.target!r}; {_REMEDY}")
    elif gone := [c for c in old.classes if c not in new.classes]:
        found.append(f"target: the classes {', '.join(gone[:5])} are gone; {_REMEDY}")
    return found


def _less_looked_up(old: Signature, new: Signature) -> Iterator[str]:
    """What clients leave to a look-up, and can't any more. Which table it is, is not theirs to know."""
    before, after = (_by_feature(s) for s in (old, new))
    optional = {f.name for f in new.features if f.optional}
    for name in (f.name for f in old.features if f.optional and f.name not in before):
        if name in after and after[name].missing == "refuse":
            yield f"{name}: may not be left out any more, where {after[name].key} is not known"
    for name, was in before.items():
        now = after.get(name)
        if now is None and name not in optional:
            yield f"{name}: clients leave it to a look-up by {was.key}, and it is not looked up any more"
        elif now is not None and now.key != was.key:
            yield f"{name}: is looked up by {now.key}, and clients give {was.key}"
        elif now is not None and (was.missing, now.missing) == ("null", "refuse"):
            yield f"{name}: a row whose {now.key} is not known is refused now, and had nulls"
    keys, known = {one.key for one in new.lookups}, {f.name for f in old.features}
    for key in dict.fromkeys(one.key for one in old.lookups if one.key not in known):
        if key in {f.name for f in new.features}:
            yield f"{key}: clients send it to look features up by, and it is a feature now"
        elif key not in keys:
            yield f"{key}: clients send it, but nothing is looked up by it any more"


def _by_feature(signature: Signature) -> dict[str, Lookup]:
    return {name: one for one in signature.lookups for name in one.features}


def _stricter(before: Feature, after: Feature) -> list[str]:
    if before.type != after.type:
        return [f"was a {before.type} and is a {after.type}"]
    found = []
    if before.nullable and not after.nullable:
        found.append("may not be null any more")
    if before.optional and not after.optional:
        found.append("may not be left out any more")
    if before.unseen == "missing" and after.unseen == "error":
        found.append("refuses unknown categories now")
    if after.unseen == "error" and before.unseen == "error" and set(before.categories) - set(after.categories):
        gone = sorted(set(before.categories) - set(after.categories))
        found.append(f"refuses the categories {', '.join(gone[:5])} now")
    return found
