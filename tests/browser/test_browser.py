"""What a reader's browser makes of a site: silence, nothing from elsewhere, and every picture without a mouse."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

import html5lib
import pytest

CHOICES = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}


class Tags(HTMLParser):
    """All start tags of a page as (name, attributes)."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def address(folder, path):
    return (folder / path).as_uri()


def focused(tab, script):
    return tab.evaluate(f"(() => {{ const it = document.activeElement; return {script}; }})()")


def walk(tab, script, most=200):
    """Presses Tab until the element in focus answers; what it answered."""
    for _ in range(most):
        tab.keyboard.press("Tab")
        if found := focused(tab, script):
            return found
    raise AssertionError(f"{script} is not reached in {most} steps")


# ------------------------------------------------------------------------------------------ pages as a browser has them


@pytest.mark.parametrize("way", ["file", "served"])
def test_no_page_says_a_word_on_the_console_or_asks_for_anything_outside(tab, folder, served, kinds, way):
    start = served if way == "served" else folder.as_uri() + "/"
    for path in kinds.values():
        tab.goto(start + path, wait_until="load")
    assert tab.said == []
    assert [url for url in tab.asked if not url.startswith(start)] == []
    assert len(tab.asked) > 3 * len(kinds)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_any_kind_of_page(tab, folder, kinds, axe, theme):
    tab.emulate_media(color_scheme=theme)
    found = {}
    for path in kinds.values():
        tab.goto(address(folder, path), wait_until="load")
        tab.evaluate(axe)
        for wrong in tab.evaluate("choices => axe.run(document, choices)", CHOICES)["violations"]:
            found[path, wrong["id"]] = [
                (node["html"][:200], node["failureSummary"][:300]) for node in wrong["nodes"][:3]
            ]
    assert found == {}


def test_every_page_passes_a_strict_parser(pages):
    for html in pages.values():
        html5lib.HTMLParser(strict=True).parse(html)


def test_every_link_and_anchor_resolves(folder, pages):
    ids = {path: {attrs["id"] for _, attrs in Tags(html).found if "id" in attrs} for path, html in pages.items()}
    wrong = []
    for path, html in pages.items():
        for _, attrs in Tags(html).found:
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
        shown = "[...document.querySelectorAll('a[href], img[src]')].map(it => it.href || it.src)"
        for link in tab.evaluate(shown):
            target = urlsplit(link)
            if target.scheme == "file" and not (folder / target.path.removeprefix(str(folder)).lstrip("/")).is_file():
                wrong.append((path, link))
    assert wrong == []


def test_without_scripts_every_figure_is_reached_by_links_from_the_front_page(folder, pages):
    seen, shown, waiting = {"index.html"}, set(), ["index.html"]
    while waiting:
        path = waiting.pop()
        for tag, attrs in Tags(pages[path]).found:
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


def test_without_scripts_compare_and_quiz_are_links_and_pictures_in_sight(chromium, folder):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address(folder, "compare.html"))
    assert page.get_by_role("link", name="Every", exact=True).last.is_visible()
    assert not page.locator("#compare").is_visible()
    page.goto(address(folder, "quiz.html"))
    assert page.locator(".quiz-all img").count() == 4
    page.locator("summary").first.press("Enter")
    assert page.get_by_text("Net a:").first.is_visible()
    context.close()


# ---------------------------------------------------------------------------------------------- with the keyboard alone


def test_the_lightbox_opens_steps_and_closes_by_keys_and_gives_the_focus_back(tab, folder):
    tab.goto(address(folder, "section/every.html"))
    assert walk(tab, "it.matches('.skip')", 1)
    first = walk(tab, "it.matches('td a.t') && it.href")
    tab.keyboard.press("Enter")
    box = tab.locator("dialog.lightbox")
    assert box.locator("img").get_attribute("src") == first
    assert box.locator("img").get_attribute("alt")
    tab.keyboard.press("ArrowRight")
    second = box.locator("img").get_attribute("src")
    assert second != first
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowRight")
    for _ in range(6):  # the focus stays inside while it is open
        tab.keyboard.press("Tab")
        assert focused(tab, "it === document.body || !!it.closest('dialog')")
    tab.keyboard.press("Escape")
    assert not box.is_visible()
    assert focused(tab, "it.href") == second


def test_arrows_go_from_picture_to_picture_on_a_wall(tab, folder):
    tab.goto(address(folder, "section/every.html"))
    walk(tab, "it.matches('td.m0 a.t')")
    place = "[it.closest('td').cellIndex, it.closest('tr').rowIndex]"
    column, row = focused(tab, place)
    tab.keyboard.press("ArrowRight")
    assert focused(tab, place) == [column + 1, row]
    tab.keyboard.press("ArrowLeft")
    assert focused(tab, place) == [column, row]
    tab.keyboard.press("ArrowDown")
    assert focused(tab, place)[1] > row
    box = focused(tab, "it.getBoundingClientRect().toJSON()")
    assert box["top"] >= 0  # not under the heads
    assert focused(tab, "it.matches(':focus-visible')")


def test_compare_is_walked_by_keys_alone_and_its_address_brings_the_same_view(tab, folder):
    start = address(folder, "compare.html")
    tab.goto(start)
    assert tab.locator("#c-wall thead th").count() == 2
    walk(tab, "it.id === 'c-section'")
    tab.keyboard.press("End")  # all methods, one picture of each
    assert "section=*" in tab.url
    tab.goto(start + "#image=cat&section=every&panel=over&stage=stage1")
    walk(tab, "it.id === 'c-minus'")
    tab.keyboard.press("ArrowDown")
    assert "minus=a,b" in tab.url
    heads = tab.locator("#c-wall thead th").all_inner_texts()
    assert heads[2] == "Net a − Net b"
    assert walk(tab, "it.matches('#c-wall td a.view') && it.href")
    tab.keyboard.press("+")
    tab.keyboard.press("+")
    tab.keyboard.press("ArrowRight")
    moved = "[...document.querySelectorAll('#c-wall td .view img')].map(it => it.style.transform)"
    transforms = tab.evaluate(moved)
    assert len(transforms) == 3
    assert len(set(transforms)) == 1  # all columns show the same part
    assert transforms[0].startswith("scale(2.25)")
    tab.wait_for_url(re.compile("zoom=2.25"))
    view = tab.url
    tab.goto("about:blank")
    tab.goto(view)
    assert tab.evaluate(moved) == transforms
    assert tab.locator("#c-wall thead th").all_inner_texts() == heads
    tab.get_by_role("button", name="Whole picture").press("Enter")
    assert tab.evaluate(moved)[0].startswith("scale(1)")
    tab.locator("#c-wall td a.view").first.press("Enter")
    assert tab.locator("dialog.lightbox").is_visible()
    tab.keyboard.press("Escape")
    assert focused(tab, "it.matches('#c-wall td a.view')")
    assert tab.said == []


def test_compare_zooms_by_mouse_and_a_drag_opens_no_picture(tab, folder):
    tab.goto(address(folder, "compare.html") + "#image=cat&section=every&panel=over")
    first = tab.locator("#c-wall td a.view").first
    first.scroll_into_view_if_needed()
    box = first.bounding_box()
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    tab.mouse.move(x, y)
    tab.keyboard.down("Control")
    tab.mouse.wheel(0, -200)
    tab.keyboard.up("Control")
    tab.wait_for_function("document.querySelector('#c-wall').classList.contains('zoomed')")
    before = tab.evaluate("document.querySelector('#c-wall .view img').style.transform")
    tab.mouse.down()
    tab.mouse.move(x - 40, y - 30, steps=4)
    tab.mouse.up()
    assert tab.evaluate("document.querySelector('#c-wall .view img').style.transform") != before
    assert tab.locator("dialog.lightbox").count() == 0


def test_compare_says_why_there_is_no_difference_and_offers_own_scales_only_where_they_were_drawn(tab, folder):
    tab.goto(address(folder, "compare.html") + "#image=cat&section=every&panel=beside")
    assert not tab.locator("#c-minus").is_visible()
    assert not tab.locator("#c-scale").is_visible()
    tab.goto(address(folder, "compare.html") + "#image=cat&section=every&panel=over")
    tab.reload()
    shared = tab.locator("#c-wall td .view").first.get_attribute("href")
    tab.locator("#c-scale").select_option("own")
    assert tab.locator("#c-wall td .view").first.get_attribute("href") == shared.replace(".webp", ".own.webp")
    assert "scale=own" in tab.url
    assert tab.locator("#c-wall td .limits i").first.is_visible()


def test_the_quiz_is_answered_by_keys_kept_scored_and_exported(tab, folder):
    tab.goto(address(folder, "quiz.html"))
    assert not tab.locator("#quiz-all").is_visible()
    for place, answer in enumerate(("a Cat", "cup", "<b>dog</b>", "")):
        if place == 0:
            walk(tab, "it.id === 'q-answer'")
        assert focused(tab, "it.id") == "q-answer"
        tab.keyboard.type(answer)
        if answer:
            tab.keyboard.press("Enter")
        else:
            walk(tab, "it.id === 'q-pass'")
            tab.keyboard.press("Enter")
        assert focused(tab, "it.id") == "q-next"
        assert tab.locator("#q-said tr").count() == 3
        if place == 1:
            tab.reload()  # what was answered is kept
            walk(tab, "it.id === 'q-answer'")
        else:
            tab.keyboard.press("Enter")
    rows = [re.split(r"\t|\n", row) for row in tab.locator("#q-scores tr").all_inner_texts()]
    assert rows == [["You", "2 of 2", "2 of 4"], ["Net a", "1 of 2", "2 of 4"], ["Net b", "1 of 1", "2 of 2"]]
    with tab.expect_download() as kept:
        tab.get_by_role("button", name="Export").press("Enter")
    lines = kept.value.path().read_text("utf-8-sig").splitlines()
    assert len(lines) == 5
    assert '"a Cat","true"' in lines[1]
    tab.get_by_role("button", name="Start again").press("Enter")
    assert tab.locator("#q-ask").is_visible()
    assert tab.said == []


@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_no_page_is_wider_than_its_window(tab, folder, kinds, width):
    tab.set_viewport_size({"width": width, "height": 900})
    wide = {}
    for path in kinds.values():
        tab.goto(address(folder, path), wait_until="load")
        if (own := tab.evaluate("document.documentElement.scrollWidth")) > width:
            wide[path] = own
    assert wide == {}


def test_who_wants_less_motion_gets_none(tab, folder):
    tab.emulate_media(reduced_motion="reduce")
    tab.goto(address(folder, "section/every.html"))
    assert tab.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    moving = (
        "[...document.querySelectorAll('*')].filter(it => parseFloat(getComputedStyle(it).transitionDuration)).length"
    )
    assert tab.evaluate(moving) == 0
