"""Whether clients of one version can go on unchanged with another: what it takes, and what its answers mean."""

from shipway.contract.signature import Feature, Signature

_REMEDY = "declare a new model for a new contract"


def incompatibilities(old: Signature, new: Signature) -> list[str]:
    """What breaks clients of ``old`` that talk to ``new``, each naming its feature; empty if nothing does."""
    found: list[str] = []
    before, after = ({f.name: f for f in s.features} for s in (old, new))
    found += [f"{name}: clients send it, but it is no feature any more" for name in before if name not in after]
    for name, feature in after.items():
        if name in before:
            found += [f"{name}: {change}" for change in _stricter(before[name], feature)]
        elif not feature.optional:
            found.append(f"{name}: is a new required feature; make it optional")
    if old.output != new.output:
        found.append(f"target: the output was {old.output} and is {new.output}; {_REMEDY}")
    elif old.target != new.target:
        found.append(f"target: was {old.target!r} and is {new.target!r}; {_REMEDY}")
    elif gone := [c for c in old.classes if c not in new.classes]:
        found.append(f"target: the classes {', '.join(gone[:5])} are gone; {_REMEDY}")
    return found


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
