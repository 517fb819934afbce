"""One HTML file that opens anywhere, offline: sections of blocks, with styles, scripts and plotly.js inside it.

Nothing is fetched, and a content security policy says so to the browser: no request of any kind, and no script but
the two of this page, known by their hashes; so text from a run cannot become code even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import importlib.resources
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass

from nasengine import __version__
from nasengine.errors import InputError, Problem
from nasengine.report.blocks import Block, Figure, escaped
from nasengine.report.theme import variables


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it; `lead` is a sentence in between that says how to read it."""

    title: str
    blocks: Sequence[Block]
    lead: str = ""

    @property
    def anchor(self) -> str:
        """What a link to it is called."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Args:
        title: of the browser's tab, and the heading.
        lead: a line under it.
        sections: in order; with three or more they are listed under the heading.
    """

    title: str
    sections: Sequence[Section]
    lead: str = ""

    def html(self) -> str:
        """The whole file.

        Raises:
            InputError: it has figures, and plotly is not installed.
        """
        scripts: list[str] = []
        if any(isinstance(block, Figure) for section in self.sections for block in section.blocks):
            scripts = [plotly_script(), _file("page.js")]
        body = "".join(_section(section) for section in self.sections)
        links = "".join(
            f'<li><a href="#{section.anchor}">{escaped(section.title)}</a></li>' for section in self.sections
        )
        contents = f'<nav aria-label="Contents"><ul>{links}</ul></nav>' if len(self.sections) > 2 else ""
        lead = f'<p class="lead">{escaped(self.lead)}</p>' if self.lead else ""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta name="generator" content="nasengine {__version__}">\n<link rel="icon" href="data:,">\n'
            f"<title>{escaped(self.title)}</title>\n<style>\n{variables()}{_file('page.css')}</style>\n</head>\n<body>\n"
            f"<header><h1>{escaped(self.title)}</h1>{lead}{contents}</header>\n<main>\n{body}</main>\n"
            f"<footer>Made by nasengine {__version__}; this file needs nothing beside it.</footer>\n"
            + ("<noscript><p>The charts need JavaScript; all numbers are in the tables.</p></noscript>" * bool(scripts))
            + "".join(f"<script>{script}</script>\n" for script in scripts)
            + "</body>\n</html>\n"
        )


def can_draw() -> bool:
    """Whether plotly is installed, so that a page may have figures."""
    return importlib.util.find_spec("plotly") is not None


def plotly_script() -> str:
    """plotly.js, whole.

    Raises:
        InputError: plotly is not installed.
    """
    try:
        offline = importlib.import_module("plotly.offline")
    except ImportError as error:
        advice = "expected plotly, which draws the charts: pip install 'nasengine[report]'"
        raise InputError(Problem("the report needs plotly, which is not installed", expected=advice)) from error
    script: str = offline.get_plotlyjs()
    if re.search(r"</script|<!--", script, re.IGNORECASE):  # either would end or hide the element that holds it
        raise InputError("this version of plotly cannot be put into a page; try another one")
    return script


def _section(section: Section) -> str:
    lead = f"<p>{escaped(section.lead)}</p>" if section.lead else ""
    blocks = "\n".join(block.html() for block in section.blocks)
    return f'<section id="{section.anchor}"><h2>{escaped(section.title)}</h2>{lead}\n{blocks}\n</section>\n'


def _policy(scripts: Sequence[str]) -> str:
    """What the browser may do for this page: run these scripts, apply its styles, show pictures it made itself."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes or chr(39) + 'none' + chr(39)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _file(name: str) -> str:
    return importlib.resources.files("nasengine.report").joinpath(name).read_text(encoding="utf-8")
