"""Walks through the sample site with the keyboard alone, and what the mouse does on the page to compare."""

import re

from tests.browser.keyboard import address, focused, walk

# ---------------------------------------------------------------------------------------------- with the keyboard alone


def test_the_lightbox_opens_steps_and_closes_by_keys_and_gives_the_focus_back(tab, sample):
    tab.goto(address(sample, "section/every.html"))
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


def test_arrows_go_from_picture_to_picture_on_a_wall(tab, sample):
    tab.goto(address(sample, "section/every.html"))
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


def test_compare_is_walked_by_keys_alone_and_its_address_brings_the_same_view(tab, sample):
    start = address(sample, "compare.html")
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


def test_compare_zooms_by_mouse_and_a_drag_opens_no_picture(tab, sample):
    tab.goto(address(sample, "compare.html") + "#image=cat&section=every&panel=over")
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


def test_compare_says_why_there_is_no_difference_and_offers_own_scales_only_where_they_were_drawn(tab, sample):
    tab.goto(address(sample, "compare.html") + "#image=cat&section=every&panel=beside")
    assert not tab.locator("#c-minus").is_visible()
    assert not tab.locator("#c-scale").is_visible()
    tab.goto(address(sample, "compare.html") + "#image=cat&section=every&panel=over")
    tab.reload()
    shared = tab.locator("#c-wall td .view").first.get_attribute("href")
    tab.locator("#c-scale").select_option("own")
    assert tab.locator("#c-wall td .view").first.get_attribute("href") == shared.replace(".webp", ".own.webp")
    assert "scale=own" in tab.url
    assert tab.locator("#c-wall td .limits i").first.is_visible()


def test_the_quiz_is_answered_by_keys_kept_scored_and_exported(tab, sample):
    tab.goto(address(sample, "quiz.html"))
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


def test_from_the_drawing_of_a_net_to_a_layer_from_unit_to_unit_and_back(tab, sample):
    tab.goto(address(sample, "net/a.html"))
    walk(tab, "it.matches('.netmap a') && it.href.baseVal.endsWith('net/a/stage1.html')")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/net/a/stage1.html")
    assert walk(tab, "it.matches('.sheet-of a') && it.textContent") == "unit 0"
    assert focused(tab, "it.matches(':focus-visible') && getComputedStyle(it).outlineStyle") == "solid"
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        tab.keyboard.press(key)
        seen.append(focused(tab, "it.textContent"))
    assert seen == ["unit 1", "unit 2", "unit 9", "unit 8", "unit 0"]  # eight in a line: below unit 2 unit 9 is nearest
    tab.keyboard.press("ArrowDown")
    assert focused(tab, "it.textContent") == "unit 8"
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/net/a/stage1/8.html")
    walk(tab, "it.matches('.way a[aria-current=step]')")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/net/a/stage1.html")


def test_a_units_pictures_open_in_turn_and_its_neighbours_are_a_step_away(tab, sample):
    tab.goto(address(sample, "net/a/stage1/2.html"))
    first = walk(tab, "it.matches('.look a.t') && it.href")
    tab.keyboard.press("Enter")
    box = tab.locator("dialog.lightbox")
    assert box.locator("img").get_attribute("src") == first
    pictures = tab.locator("a.t").count()
    seen = set()
    for _ in range(pictures):
        seen.add(box.locator("img").get_attribute("src"))
        assert box.locator("p").first.inner_text()
        tab.keyboard.press("ArrowRight")
    assert box.locator("img").get_attribute("src") == first  # once around
    assert len(seen) > 5
    tab.keyboard.press("Escape")
    assert focused(tab, "it.href") == first
    walk(tab, "it.matches('.neighbours a')")
    here = focused(tab, "it.href")
    assert here.endswith("/1.html")
    tab.keyboard.press("ArrowRight")
    assert focused(tab, "it.href").endswith("/3.html")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/net/a/stage1/3.html")
    assert tab.said == []


def test_what_is_looked_for_is_found_by_keys(tab, sample):
    tab.goto(address(sample, "search.html"))
    assert focused(tab, "it.id") == "words"
    tab.keyboard.type("net a stage1 unit 7")
    tab.wait_for_function("document.querySelectorAll('#found a').length > 0")
    tab.keyboard.press("ArrowDown")
    assert focused(tab, "it.matches('#found a')")
    tab.keyboard.press("Escape")
    assert focused(tab, "it.id") == "words"
    tab.keyboard.press("ArrowDown")
    assert focused(tab, "it.href").endswith("net/a/stage1/7.html")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/net/a/stage1/7.html")
    assert tab.said == []
