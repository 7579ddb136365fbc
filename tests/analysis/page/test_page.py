"""The report in a headless Chromium; run by CI."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import analysis

pytestmark = pytest.mark.browser
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
READY_MILLISECONDS = 90_000
"""What a figure may take to be drawn where other tests run beside."""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def path(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "a-folder-whose-name-is-wider-than-a-narrow-window"
    return Path(analysis.report(shutil.copytree(small, folder / "small")))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def said() -> list[str]:
    """What the page complains of, and what it asks the network for."""
    return []


def opened(browser: Any, path: Path, said: list[str], width: int = 1280, **context: Any) -> Any:
    """The page, read to its end so that every figure came near the window."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **context)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    own = ("file:", "data:", "blob:")
    page.on("request", lambda asked: None if asked.url.startswith(own) else said.append(asked.url))
    page.goto(path.as_uri())
    if context.get("java_script_enabled", True):
        page.locator("#more > summary").click()
        for figure in page.locator("figure.interactive").all():
            figure.scroll_into_view_if_needed()
            figure.locator(".panel[data-ready]").first.wait_for(timeout=READY_MILLISECONDS)
    return page


@pytest.fixture
def wide(browser: Any, path: Path, said: list[str]) -> Iterator[Any]:
    page = opened(browser, path, said)
    yield page
    page.close()
    assert said == []


@pytest.mark.parametrize("width", [1280, 400])
def test_every_figure_renders_and_nothing_needs_a_network_or_a_wider_window(
    browser: Any, path: Path, said: list[str], width: int
) -> None:
    page = opened(browser, path, said, width)
    panels = page.locator(".panel").count()
    assert panels >= page.locator("figure").count() > 8
    drawn = page.evaluate(
        "[...document.querySelectorAll('.panel')].map(p => p.querySelectorAll('.trace,.hm').length)"
    )
    assert len(drawn) == panels
    assert sum(count > 0 for count in drawn) >= 0.9 * panels  # a panel may be empty as drawn
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
    assert said == []


def test_hover_says_the_mean_its_interval_and_n(wide: Any) -> None:
    box = wide.locator("#test_accuracy-sparsity .panel").first
    box.scroll_into_view_if_needed()
    point = box.locator(".point").first.bounding_box()
    wide.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    text = box.locator(".hovertext")
    text.wait_for()
    assert "n = 2" in text.text_content()
    assert "[" in text.text_content()
    assert "sparsity" in text.text_content()


def test_a_line_goes_and_comes_back_by_its_name(wide: Any) -> None:
    figure = wide.locator("#test_accuracy-sparsity")
    button = figure.locator("button[aria-pressed]").first
    points = figure.locator(".point")
    before = points.count()
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    wide.wait_for_function(
        f"document.querySelectorAll('#test_accuracy-sparsity .point').length < {before}"
    )
    button.click()
    wide.wait_for_function(
        f"document.querySelectorAll('#test_accuracy-sparsity .point').length === {before}"
    )


def test_a_drag_zooms_and_a_button_shows_the_whole_range_again(wide: Any) -> None:
    figure = wide.locator("#test_accuracy-sparsity")
    figure.scroll_into_view_if_needed()
    area = figure.locator(".nsewdrag").first.bounding_box()
    limits = "document.querySelector('#test_accuracy-sparsity .panel').layout.xaxis.range"
    before = wide.evaluate(limits)
    wide.mouse.move(area["x"] + 0.3 * area["width"], area["y"] + 0.3 * area["height"])
    wide.mouse.down()
    wide.mouse.move(area["x"] + 0.7 * area["width"], area["y"] + 0.7 * area["height"], steps=8)
    wide.mouse.up()
    reset = figure.locator(".reset")
    reset.wait_for()
    zoomed = wide.evaluate(limits)
    assert zoomed[1] - zoomed[0] == pytest.approx(0.4 * (before[1] - before[0]), rel=0.05)
    reset.click()
    reset.wait_for(state="hidden")
    assert wide.evaluate(limits) == pytest.approx(before)


def test_a_click_on_a_heading_sorts_the_table(wide: Any) -> None:
    table = wide.locator("#more table.sorts").first
    head = table.locator("th", has_text="Sparsity").first
    column = "rows => rows.map(row => Number(row.cells[1].dataset.sort))"
    for said in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == said
        values = table.locator("tbody tr").evaluate_all(column)
        assert values == sorted(values, reverse=said == "descending")
        assert len(set(values)) > 1


@pytest.mark.parametrize("width", [1280, 400])
def test_no_serious_fault_of_accessibility(
    browser: Any, path: Path, said: list[str], width: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(browser, path, said, width)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = Axe().run(page).response["violations"]
    page.close()
    assert [
        (fault["id"], fault["nodes"][0]["html"])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ] == []


def test_without_scripts_the_drawings_stand(browser: Any, path: Path, said: list[str]) -> None:
    page = opened(browser, path, said, java_script_enabled=False)
    assert page.locator(".drawn svg").first.is_visible()
    assert not page.locator(".live").first.is_visible()
    page.close()


def test_a_script_that_a_name_smuggled_in_would_not_run(
    browser: Any, path: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    text = path.read_text().replace(
        "<main>", "<main><script>document.title = 'smuggled'</script>", 1
    )
    (tmp_path / "page.html").write_text(text)
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.goto((tmp_path / "page.html").as_uri())
    assert page.title() == "small"
    assert any("Content Security Policy" in line for line in said)
    page.close()
