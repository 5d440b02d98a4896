"""From a page to HTML, by a template in which everything is escaped that is not marked as HTML."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from .blocks import Page


def render(page: Page, version: str) -> str:
    """The page as an HTML document that refers to nothing outside of itself."""
    return _template().render(page=page, version=version)


@cache
def _template() -> Template:
    loader = PackageLoader("sesamo_dsl.report.pages", ".")
    surroundings = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return surroundings.get_template("page.html.jinja")
