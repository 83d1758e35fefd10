"""The documentation's site: texts are turned into what it reads, and what a page may not do ends its build."""

from pathlib import Path

import pytest
from mkdocs.commands import build as site
from mkdocs.config import load_config
from mkdocs.exceptions import Abort, PluginError
from pages import parts


def test_lists_and_fences_are_as_the_sites_markdown_wants_them() -> None:
    listed = "# Page\n- one\n  more\n- two\ntext\n1. first\n   ```python run\n   - code\n   ```\n"
    page = f"{listed}\n````md\n```\n- inside\n````\ntext\n"
    found = parts(page)
    assert [line for fenced, line in found if fenced] == [
        "   ```python run\n",
        "   - code\n",
        "   ```\n",
        "````md\n",
        "```\n",
        "- inside\n",
        "````\n",
    ]
    assert [line for _, line in found if line.startswith("\n") and line.strip()] == ["\n1. first\n"]


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("[a file](../nothing.txt)", "there is no nothing.txt"),
        ("[a page](other.md)", "there is no docs/other.md"),
        ("[a place](#nowhere)", "nowhere"),
        ("![a picture](https://example.org/x.png)", "would fetch from elsewhere"),
    ],
)
def test_a_page_that_leads_nowhere_or_fetches_ends_the_build(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, page: str, said: str
) -> None:
    with pytest.raises((Abort, PluginError), match=said), caplog.at_level("WARNING"):
        try:
            build(root, tmp_path, page)
        except Abort as err:
            raise Abort(f"{err.message} {caplog.text}") from err


def test_a_link_to_the_repository_takes_the_file_along(root: Path, tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text('name = "x"\n')
    (tmp_path / "README.md").write_text("[the page](docs/page.md#part), [the folder](docs)\n")
    build(
        root,
        tmp_path,
        "# Page\n[a model file](../model.toml), [home](../README.md)\n## Part\n```mermaid\nflowchart LR\n a-->b\n```\n",
    )
    assert (tmp_path / "site" / "repository" / "model.toml").read_text() == 'name = "x"\n'
    page = (tmp_path / "site" / "page.html").read_text()
    assert 'href="repository/model.toml"' in page and "<figure" in page and "<svg" in page
    home = (tmp_path / "site" / "index.html").read_text()
    assert 'href="page.html#part"' in home and "the folder" in home


def build(root: Path, folder: Path, page: str) -> None:
    """Builds the site of a repository with this one page, with the settings of this one.

    Raises:
        Abort, PluginError: something is not as it must be.
    """
    (folder / "docs" / "assets").mkdir(parents=True)
    (folder / "docs" / "page.md").write_text(page)
    (folder / "docs" / "assets" / "site.css").touch()
    (folder / "README.md").touch()
    hooks = [str(root / "deploy" / "site" / name) for name in ("pages.py", "drawings.py")]
    settings = folder / "mkdocs.yml"
    settings.write_text(f"INHERIT: {root / 'mkdocs.yml'}\nhooks: {hooks}\nnav: [index.md, page.md]\n")
    site.build(load_config(str(settings), strict=True))
