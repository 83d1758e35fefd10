"""The settings reference, from the settings classes."""

from collections.abc import Iterable, Mapping


def page(described: Mapping[str, Iterable[tuple[str, str, str]]]) -> str:
    """The page, given each service's settings as variable, default and what it is."""
    lines = [
        "# Settings",
        "",
        "Made by `make docs` from the settings classes; `shipway config` shows the same. Every setting is an",
        "environment variable. `SHIPWAY__<SECTION>__<KEY>` is read by every service that lacks its own",
        "`SHIPWAY_<SERVICE>__<SECTION>__<KEY>`. A wrong value stops the start with one line that names it.",
    ]
    for service, rows in described.items():
        lines += ["", f"## {service}", "", "| variable | default | what it is |", "|---|---|---|"]
        lines += [f"| `{variable}` | `{default}` | {text} |" for variable, default, text in rows]
    return "\n".join(lines) + "\n"
