"""What a browser makes of a site: silence, nothing from elsewhere, nothing too wide, no barrier, no dead end."""

from __future__ import annotations

import json
from urllib.parse import urldefrag, urljoin, urlsplit

import html5lib
import pytest

from tests.browser.keyboard import address
from tests.site_pages import Elements

CHOICES = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
OF_COLOURS = ["color-contrast", "link-in-text-block"]  # all that a theme can change; the other rules run once


# ------------------------------------------------------------------------------------------ pages as a browser has them


@pytest.mark.parametrize("way", ["file", "served"])
def test_no_page_says_a_word_on_the_console_or_asks_for_anything_outside(tab, folder, served, kinds, way):
    start = served if way == "served" else folder.as_uri() + "/"
    for path in kinds.values():
        tab.goto(start + path, wait_until="load")
    assert tab.said == []
    assert [url for url in tab.asked if not url.startswith(start)] == []
    assert len(tab.asked) > 3 * len(kinds)


def test_axe_finds_nothing_on_any_kind_of_page_in_both_themes(tab, folder, kinds, axe):
    found, ink = {}, {}
    for path in kinds.values():
        tab.emulate_media(color_scheme="light")
        tab.goto(address(folder, path), wait_until="load")
        tab.evaluate(axe)
        for theme, choices in (("light", CHOICES), ("dark", CHOICES | {"runOnly": OF_COLOURS})):
            tab.emulate_media(color_scheme=theme)
            ink[theme] = tab.evaluate("getComputedStyle(document.body).color")
            for wrong in tab.evaluate("choices => axe.run(document, choices)", choices)["violations"]:
                nodes = [(node["html"][:200], node["failureSummary"][:300]) for node in wrong["nodes"][:3]]
                found[path, theme, wrong["id"]] = nodes
    assert found == {}
    assert ink["light"] != ink["dark"]


def test_every_page_passes_a_strict_parser(pages):
    for html in pages.values():
        html5lib.HTMLParser(strict=True).parse(html)


def test_every_link_and_anchor_resolves(folder, pages):
    ids = {path: {attrs["id"] for _, attrs in Elements(html).found if "id" in attrs} for path, html in pages.items()}
    wrong = []
    for path, html in pages.items():
        for _, attrs in Elements(html).found:
            for link in (attrs.get("href"), attrs.get("src")):
                if link is None or urlsplit(link).scheme:
                    continue
                target, anchor = urldefrag(urljoin(f"/{path}", link))
                target = target.lstrip("/")
                if not (folder / target).is_file() or (anchor and anchor not in ids[target]):
                    wrong.append((path, link))
    assert wrong == []


def test_what_scripts_add_to_a_page_leads_somewhere_too(tab, folder, kinds):
    wrong = []
    for path in kinds.values():
        tab.goto(address(folder, path), wait_until="load")
        shown = "[...document.querySelectorAll('a[href], img[src]')].map(it => it.href?.baseVal ?? it.href ?? it.src)"
        for link in tab.evaluate(shown):
            target = urlsplit(urljoin(address(folder, path), link))
            if target.scheme == "file" and not (folder / target.path.removeprefix(str(folder)).lstrip("/")).is_file():
                wrong.append((path, link))
    assert wrong == []


def test_without_scripts_every_figure_is_reached_by_links_from_the_front_page(folder, pages):
    seen, shown, waiting = {"index.html"}, set(), ["index.html"]
    while waiting:
        path = waiting.pop()
        for tag, attrs in Elements(pages[path]).found:
            for link in (attrs.get("href"), attrs.get("src")):
                if link is None or urlsplit(link).scheme or tag == "link":
                    continue
                target = urldefrag(urljoin(f"/{path}", link))[0].lstrip("/")
                shown.add(target)
                if target in pages and target not in seen:
                    seen.add(target)
                    waiting.append(target)
    figures = json.loads((folder / "report.json").read_text("utf-8"))["figures"]
    assert [figure["id"] for figure in figures if figure["files"] and figure["files"][0] not in shown] == []
    assert seen >= set(pages) - {"404.html"}


def test_without_scripts_compare_and_quiz_are_links_and_pictures_in_sight(chromium, sample):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address(sample, "compare.html"))
    assert page.get_by_role("link", name="Every", exact=True).last.is_visible()
    assert not page.locator("#compare").is_visible()
    page.goto(address(sample, "quiz.html"))
    assert page.locator(".quiz-all img").count() == 4
    page.locator(".quiz-all summary").first.press("Enter")
    assert page.get_by_text("Net a:").first.is_visible()
    context.close()


@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_no_page_is_wider_than_its_window(tab, folder, kinds, width):
    tab.set_viewport_size({"width": width, "height": 900})
    wide = {}
    for path in kinds.values():
        tab.goto(address(folder, path), wait_until="load")
        if (own := tab.evaluate("document.documentElement.scrollWidth")) > width:
            wide[path] = own
    assert wide == {}


def test_who_wants_less_motion_gets_none(tab, sample):
    tab.goto(address(sample, "section/every.html"))
    assert tab.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "smooth"
    tab.emulate_media(reduced_motion="reduce")
    assert tab.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    moving = (
        "[...document.querySelectorAll('*')].filter(it => parseFloat(getComputedStyle(it).transitionDuration)).length"
    )
    assert tab.evaluate(moving) == 0
