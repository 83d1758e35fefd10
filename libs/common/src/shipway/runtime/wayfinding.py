"""What is said to who asks for a path, or by a method, that a service does not answer. Pure."""

import difflib
from collections.abc import Collection, Mapping

SHOWN = 100
"""So many characters of what was asked for are shown."""


def nowhere(service: str, path: str, known: Mapping[str, Collection[str]]) -> str:
    """That there is nothing at a path, what may have been meant, and where all is listed.

    ``known``: the methods by path, as routes have them (``/models/{model}``).
    """
    filled = {_filled(template, path): template for template in known}
    close = difflib.get_close_matches(path[:SHOWN], filled, 1, 0.7)
    meant = f"; did you mean {_listed(known[filled[close[0]]])} {filled[close[0]]}?" if close else ";"
    return f"the {service} has nothing at {path[:SHOWN]!r}{meant} {_WHERE}"


def otherwise(method: str, path: str, allowed: str) -> str:
    """That a path is answered by other methods, and by which (as the header Allow has them)."""
    return f"{path[:SHOWN]!r} is not asked by {method[:20]}, but by {allowed}; {_WHERE}"


_WHERE = "/docs shows all that is answered here, /openapi.json says it to programs"


def _filled(template: str, path: str) -> str:
    """The template with the path's own words in the place of its parameters."""
    asked = path.split("/")
    words = template.split("/")
    return "/".join(asked[i] if word.startswith("{") and i < len(asked) else word for i, word in enumerate(words))[
        :SHOWN
    ]


def _listed(methods: Collection[str]) -> str:
    return " or ".join(sorted(set(methods) - {"HEAD"}))
