"""A hook of the site's build: Mermaid drawings become SVG in the page, so that readers fetch and draw nothing."""

import hashlib
import re
from typing import Any

import mmdr
from mkdocs.config.defaults import MkDocsConfig


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Has fenced blocks of Mermaid drawn."""
    fence = {"name": "mermaid", "class": "mermaid", "format": drawn}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def drawn(source: str, *_: Any, **__: Any) -> str:
    """The drawing as a figure. Its id, by which its style names it, is made of its content.

    Raises:
        mmdr's error: the source is no drawing, which ends the build.
    """
    name = "drawing-" + hashlib.sha256(source.encode()).hexdigest()[:12]
    svg = mmdr.render(source).svg().replace("merman", name)
    label = re.sub(r"[^\w ]", "", source.strip().split("\n", 1)[0])
    return f'<figure class="drawing" role="img" aria-label="{label}">{svg}</figure>'
