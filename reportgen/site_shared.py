"""What a site needs where it is published: addresses of its pages, the card of social networks, its map, page 404."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from reportgen import site_card
from reportgen.templating import environment

if TYPE_CHECKING:
    from reportgen.pages import Block
    from reportgen.report import Report

CARD = "assets/card.jpg"
NOT_FOUND = "404.html"


def address(site_url: str, path: str) -> str:
    """Where a page of the site is published; the front page is the folder itself."""
    return site_url + quote("" if path == "index.html" else path)


def shared_values(site_url: str, path: str, alt: str) -> Mapping[str, Any] | None:
    """What the head of a page tells search engines and social networks; None where nothing is published."""
    if not site_url:
        return None
    size = {"width": site_card.WIDTH, "height": site_card.HEIGHT}
    return {"address": address(site_url, path), "picture": address(site_url, CARD), "alt": alt, **size}


def write_card(report: Report, blocks: Sequence[Block], folder: Path) -> str:
    """The card among the site's assets; its description. Nothing where nothing is published."""
    if not report.spec.site_url:
        return ""
    data, words = site_card.card(report, blocks)
    (folder / CARD).write_bytes(data)
    return words


def write_published(report: Report, paths: Iterable[str], folder: Path) -> None:
    """sitemap.xml with the address of every page, and the page 404; nothing where nothing is published."""
    if not (site_url := report.spec.site_url):
        return
    pages = [address(site_url, path) for path in paths]
    xml = environment("site").get_template("sitemap.xml").render(pages=pages)
    (folder / "sitemap.xml").write_text(xml, encoding="utf-8")
    (folder / NOT_FOUND).write_text(not_found(report.spec.title, site_url), encoding="utf-8")


def not_found(title: str, site_url: str = "") -> str:
    """The page that a host shows for an address without one, at whatever depth it was looked for.

    Where the site's address is known, it leads to the front page; elsewhere one level up, which gets there too.
    """
    home = urlsplit(site_url).path if site_url else ""
    return environment("site").get_template(NOT_FOUND).render(title=title, home=home)
