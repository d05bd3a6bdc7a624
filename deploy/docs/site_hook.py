"""Hook of MkDocs: pages of the checkout that docs/ links to and does not hold become pages of the site too.

A link from docs/ to ``../CONTRIBUTING.md``, ``../config.example.yaml`` or ``../examples`` is right on GitHub, and leads
nowhere in a site of docs/ alone. So each such file is shown below ``checkout/``: Markdown as it is, anything else as
code, a folder as its README or as the list of its files.
"""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from deploy.docs.checkout_links import ROOT, checkout_links

_SHOWN = "checkout/"
_SPEAKS = {
    ".py": "python",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".js": "js",
    ".json": "json",
    ".toml": "toml",
}
_LARGEST = 200_000


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of the checkout that pages link to, and those that these link to in turn."""
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()]
    seen: set[str] = set()
    while waiting:
        page = waiting.pop()
        for link in checkout_links(_markdown(page), page):
            if link.path.startswith("docs/") or link.path in seen or not (ROOT / link.path).exists():
                continue
            seen.add(link.path)
            files.append(_file(link.path, config))
            waiting.append(link.path)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite a page's links to the places that their files have in the site."""
    del config, files
    here = page.file.src_uri
    source = _source(here)
    done, end = [], 0
    for link in checkout_links(markdown, source):
        target = _place(link.path)
        relative = os.path.relpath(target, PurePosixPath(here).parent) if link.path != source else ""
        done += [markdown[end : link.start], relative + (f"#{link.fragment}" if link.fragment else "")]
        end = link.end
    return "".join([*done, markdown[end:]])


def _file(path: str, config: MkDocsConfig) -> File:
    return File.generated(config, _place(path), content=_markdown(path), inclusion=InclusionLevel.NOT_IN_NAV)


def _place(path: str) -> str:
    """Return where a file of the checkout is in the site's sources."""
    if path == "docs" or path.startswith("docs/"):
        inner = path.removeprefix("docs").lstrip("/")
        return f"{inner}/README.md".lstrip("/") if (ROOT / path).is_dir() else inner
    return _SHOWN + (path if path.endswith(".md") else f"{path}.md")


def _source(uri: str) -> str:
    """Return the path in the checkout of a page of the site."""
    if not uri.startswith(_SHOWN):
        return f"docs/{uri}"
    path = uri.removeprefix(_SHOWN)
    return path if (ROOT / path).exists() else path.removesuffix(".md")


def _markdown(path: str) -> str:
    """Return a file of the checkout as Markdown."""
    file = ROOT / path
    if file.is_dir():
        return f"# {path}\n\n" + "".join(
            f"- `{inner.name}`\n" for inner in sorted(file.iterdir()) if inner.is_file()
        )
    text = file.read_text(encoding="utf-8")[:_LARGEST]
    if file.suffix == ".md":
        return text
    return f"# {path}\n\n````{_SPEAKS.get(file.suffix, '')}\n{text}\n````\n"
