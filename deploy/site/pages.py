"""A hook of the site's build: the repository's own pages become pages of the site, and links are held to be there.

The texts are written for whoever reads them in the repository. So links to the files at its root, to folders and to
code are turned here into what the site has; one that leads nowhere ends the build, as does anything that a page would
fetch from elsewhere.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# Files at the root of the repository, and the pages that they become.
AT_ROOT = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_FENCE = re.compile(r"^(\s*)(```+)(\w*).*$")
_ITEM = re.compile(r"\s*(?:[-*]|\d+\.)\s")
_FETCHED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"'](?:https?:)?//[^\"']+")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Takes the pages at the root of the repository in."""
    for name, page in AT_ROOT.items():
        if (file := _root(config) / name).is_file():
            files.append(File.generated(config, page, content=file.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns a page of the repository into one that the site's Markdown understands."""
    source = page.file.src_uri
    at_root = {page: name for name, page in AT_ROOT.items()}
    where = posixpath.dirname(at_root.get(source, f"docs/{source}"))

    def link(found: re.Match[str]) -> str:
        return _linked(found["text"], found["target"], where, source, config, files)

    return "".join(_FENCE.sub(r"\1\2\3", text) if fenced else _LINK.sub(link, text) for fenced, text in parts(markdown))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Holds that a page fetches nothing from elsewhere."""
    if found := _FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri} would fetch from elsewhere: {found[0]}")
    return output


def parts(markdown: str) -> list[tuple[bool, str]]:
    """A page's lines, each with whether it opens, is within, or closes a fenced block.

    A list that follows a line of text at once gets the empty line before it that Python's Markdown wants.
    """
    found: list[tuple[bool, str]] = []
    fence, before = "", ""
    for line in markdown.splitlines(keepends=True):
        mark = _FENCE.match(line)
        fenced = bool(fence or mark)
        if mark and not fence:
            fence = mark[2]
        elif mark and mark[2] == fence and not mark[3]:
            fence = ""
        found.append((fenced, line if fenced or not _begins_list(before, line) else f"\n{line}"))
        before = line
    return found


def _begins_list(before: str, line: str) -> bool:
    within = not before.strip() or _ITEM.match(before) or before.startswith((" ", "#"))
    return _ITEM.match(line) is not None and not within


def _linked(text: str, target: str, where: str, source: str, config: MkDocsConfig, files: Files) -> str:
    """The link as the site has it; a folder is named without one."""
    path, _, anchor = target.partition("#")
    if not path or ":" in path:
        return f"[{text}]({target})"
    wanted = posixpath.normpath(posixpath.join(where, path))
    there = _root(config) / wanted
    if not there.exists():
        raise PluginError(f"{source}: there is no {wanted}, to which it links")
    if there.is_dir():
        return text
    uri = AT_ROOT.get(wanted) or wanted.removeprefix("docs/")
    if wanted not in AT_ROOT and not wanted.startswith("docs/"):
        uri = f"repository/{wanted}"
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(there)))
    here = posixpath.relpath(uri, posixpath.dirname(source) or ".")
    return f"[{text}]({here}{'#' + anchor if anchor else ''})"


def _root(config: MkDocsConfig) -> Path:
    """The repository: where its mkdocs.yml lies."""
    return Path(config.config_file_path).parent
