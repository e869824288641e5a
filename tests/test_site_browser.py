"""The site in a real browser that reaches nothing but it: every page, in light, in dark, on a phone and on paper."""

import functools
import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from chromium import CHROMIUM, FLAGS, NEEDED

from debias_course.lectures import grids

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "assets" / "site"))
import make  # noqa: E402
import slides  # noqa: E402

LECTURES = [f"notebooks/{path.stem}.html" for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]
PAGES = ["index.html", "CLAIMS.html", "CONTRIBUTING.html", "CHANGELOG.html", "genindex.html", "search.html?q=shortcut"]
PAGES += ["INSTRUCTORS.html", "assets/class/SERVER.html"]
PAGES += [f"api/{path.stem}.html" for path in sorted((ROOT / "assets" / "site" / "api").glob("*.md"))] + LECTURES
FEW = {  # stops of the panels, fewer than on the site, so that there is less to draw
    "draw_shortcut": dict(by=("group", "label"), power=(0.5,), aligned_share=(0.8,)),
    "draw_digits": dict(power=(0.5,), epochs=(2,)),
    "draw_mining": dict(keep=(0.3,)),
    "draw_smote": dict(k=(1, 5), interpolation=("repeat",)),
    "draw_group_dro": dict(step_size=(0.01,)),
    "draw_moons": dict(strength=(0.0, 0.1), variant=("all",)),
    "draw_occam_nets": dict(threshold=(0.8,)),
    "draw_adversarial_training": dict(radius=(0.2,)),
    "draw_dann": dict(epochs=(2,)),
    "draw_comparison": dict(at_once=(66,)),
    "draw_partner": dict(width=(1,)),
}

pytestmark = NEEDED


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site, with fewer pictures for the panels, and the slides, served from here; yields the address."""
    home = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grids, "chosen_for", lambda draw: FEW.get(draw.__name__, {}))
        make.prepare(home / "sources")
    command = [sys.executable, "-m", "sphinx", *make.arguments(home)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    slides.main(home / "pages" / "slides")
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), dict(log_message=lambda self, *given: None))
    handler = functools.partial(quiet, directory=home / "pages")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "CI installs Chromium before the tests; it is missing"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def visit(site, browser):
    """visit(path, ...) opens a page in a profile of its own, which is not let out; `page.faults` is what went wrong."""
    opened = []

    def visit(path, width=1280, **how):
        context = browser.new_context(viewport={"width": width, "height": 900}, **how)
        opened.append(context)
        page = context.new_page()
        page.faults = []
        local = (site, "data:", "blob:", "about:blank")
        context.route(lambda url: not url.startswith(local), lambda route: route.abort())
        page.on("request", lambda each: each.url.startswith(local) or page.faults.append(f"asked for {each.url}"))
        page.on("response", lambda each: each.status < 400 or page.faults.append(f"{each.status} for {each.url}"))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.goto(site + path, wait_until="load")
        return page

    yield visit
    for each in opened:
        each.close()


def typeset(page):
    """Wait until MathJax has set all formulas."""
    done = (
        "() => [...document.querySelectorAll('.math')].every(each => each.querySelector('.MathJax_Display, .MathJax'))"
    )
    page.wait_for_function(done, timeout=30_000)


# The texts whose contrast with what is behind them is below 4.5, and their contrast; pictures are not looked at.
PALE = """() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true})
    const read = color => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1)
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data
        return [r, g, b, a / 255]
    }
    const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1)
    const behind = e => {
        if (!e) return [255, 255, 255, 1]
        const color = read(getComputedStyle(e).backgroundColor)
        return color[3] === 1 ? color : over(color, behind(e.parentElement))
    }
    const light = c => c.slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
    const contrast = e => {
        const back = behind(e), front = over(read(getComputedStyle(e).color), back)
        const [low, high] = [light(front), light(back)].sort((a, b) => a - b)
        return (high + 0.05) / (low + 0.05)
    }
    const all = [...document.querySelectorAll('.bd-main *, .bd-sidebar *')]
    const texts = all.filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
        .filter(e => e.checkVisibility({visibilityProperty: true}))
        .filter(e => !e.closest(':disabled, script, .MJX_Assistive_MathML'))
    return texts.map(e => [e.textContent.trim().slice(0, 60), Math.round(100 * contrast(e)) / 100])
        .filter(each => each[1] < 4.5)
}"""


@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_nothing_from_elsewhere_and_can_be_read_everywhere(visit, path):
    page = visit(path, color_scheme="light")
    typeset(page)
    page.evaluate("document.querySelectorAll('article details').forEach(each => { each.open = true })")
    assert page.evaluate(PALE) == []
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    page.wait_for_timeout(300)  # until colours have changed
    assert page.evaluate(PALE) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.faults == []


# The key that moves a control away from where it is.
KEY = """e => e.type === 'checkbox' ? 'Space' : e.type === 'range' ? (e.value === e.max ? 'ArrowLeft' : 'ArrowRight')
    : (e.selectedIndex === e.options.length - 1 ? 'ArrowUp' : 'ArrowDown')"""


def shown(page, panel):
    """Setting and picture of a panel, when the picture is there."""
    page.wait_for_function("e => e.querySelector('img').complete && e.querySelector('img').naturalWidth", arg=panel)
    image = panel.query_selector("img")
    return panel.query_selector(".course-setting").inner_text(), image.get_attribute("src"), image.get_attribute("alt")


@pytest.mark.parametrize("path", LECTURES)
def test_every_control_of_a_panel_switches_the_picture(visit, path):
    page = visit(path)
    panels = page.query_selector_all(".course-panel")
    assert panels
    for panel in panels:
        for control in panel.query_selector_all("input, select"):
            setting, picture, alt = shown(page, panel)
            control.focus()
            page.keyboard.press(control.evaluate(KEY))
            now, other, said = shown(page, panel)
            assert now != setting and other != picture and said != alt and now.removeprefix("Setting: ") in said
            assert page.evaluate("e => e.labels[0].innerText.length", control) > 10
    assert page.faults == []


def test_a_knob_that_does_nothing_is_grey_and_says_why(visit):
    page = visit("notebooks/04_smote.html")
    panel = page.locator(".course-panel")
    slider, choice = panel.locator("input[id$=-k]"), panel.locator("select")
    choice.select_option(label="repeat")
    assert slider.is_disabled() and "Does nothing here: a copy has no neighbour." in panel.inner_text()
    assert "neighbours k" not in panel.locator(".course-setting").inner_text()
    choice.select_option(label="random")
    assert slider.is_enabled() and "Does nothing here" not in panel.inner_text()


def test_without_javascript_the_middle_picture_and_the_answers_stand_there(visit):
    page = visit("notebooks/04_smote.html", java_script_enabled=False)
    panel = page.locator(".course-panel")
    assert panel.locator("img").is_visible() and not panel.locator("form").is_visible()
    assert "Setting: " in panel.inner_text() and page.locator(".course-guess li").first.is_visible()
    folded = page.locator("details.above-output").first
    folded.locator("summary").first.click()
    assert folded.get_attribute("open") is not None


def test_a_guess_opens_what_answers_it_and_stands_in_the_last_table(visit):
    page = visit("notebooks/01_loss_reweighting.html")
    guess = page.locator(".course-guess[data-claim='L01.1']")
    answer = page.locator(".tag_answers-L01-1 details.above-output").first
    assert answer.get_attribute("open") is None
    guess.get_by_role("button", name="vanishes").click()
    assert answer.get_attribute("open") is not None
    assert guess.get_by_role("button", name="vanishes").get_attribute("aria-pressed") == "true"
    row = page.locator("tr", has_text="The lead in the worst group")
    assert "vanishes" in row.inner_text() and "no guess" not in row.inner_text()


def test_on_paper_results_are_open_and_code_and_solutions_are_left_out(visit):
    page = visit("notebooks/01_loss_reweighting.html")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".tag_answers-L01-1 details.above-output[open]").count() > 0
    assert page.locator("article details:not([open])", has_text="It divides by the sum").count() == 0
    hidden = ".course-solution, .course-knobs, .course-bar, details.hide.above-input"
    assert not any(each.is_visible() for each in page.locator(hidden).all())
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".tag_answers-L01-1 details.above-output[open]").count() == 0


def test_the_search_finds_and_pages_lead_on(visit):
    page = visit("search.html?q=shortcut")
    page.locator("#search-results li a").first.wait_for(timeout=20_000)
    page = visit(LECTURES[1])
    assert LECTURES[2].split("/")[1] in page.locator("a.right-next").get_attribute("href")
    assert LECTURES[0].split("/")[1] in page.locator("a.left-prev").get_attribute("href")


def test_the_notebook_can_be_downloaded(visit):
    page = visit(LECTURES[0])
    link = page.locator(".course-bar a[download]").get_attribute("href")
    answer = page.request.get(page.url.rsplit("/", 1)[0] + "/" + link)
    assert answer.ok and json.loads(answer.text())["nbformat"] == 4


@pytest.mark.parametrize("path", LECTURES)
def test_a_deck_has_a_dozen_slides_that_fit_and_loads_nothing_from_elsewhere(visit, path):
    page = visit(path.replace("notebooks", "slides"))
    typeset(page)
    heights = page.evaluate(
        """() => [...Array(Reveal.getTotalSlides()).keys()].map(number => {
            Reveal.slide(number)
            return document.querySelector('section.present').scrollHeight
        })"""
    )
    guesses = page.locator("section.course-guess").count()
    assert len(heights) == guesses * 2 + (5 if guesses else 3) and len(heights) <= 15 and max(heights) <= 720
    assert not guesses or len(heights) >= 10
    assert page.faults == []
