"""The page at /dashboard in a headless Chromium: what it shows, its map, its key, both themes, and that nothing leaves the server.

Usage: test_dashboard.py PATH_TO_cairn [unittest's arguments]
With CAIRN_PICTURES=FOLDER in the environment it leaves pictures of the page there. Without Chromium it is skipped (status 77).
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
import urllib.request

from browser import Browser, find_chromium
from serving import Serving

CAIRN = None
EVIL = '<img src="x" onerror="broken = 1">'
TOPICS = {
    "build": ["the build cache is cold after a merge", "the linker runs out of memory", "incremental builds miss a changed header"],
    "tests": ["tests run in four shards", "a flaky test waits for a port", "coverage drops without fuzz inputs"],
    "deploy": ["roll back when the error rate doubles", "the canary serves one percent", "secrets are mounted as files"],
    "incident": ["the disk of the primary filled with logs", "a certificate expired on sunday", "two writers raced for one lease"],
}
WORDS = "agent memory graph index latency recall shard replica token vector commit lock page thread socket parser filter branch".split()

CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (it) => {
    for (; it; it = it.parentElement) {
      const color = parse(getComputedStyle(it).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
  };
  const low = [];
  for (const it of document.querySelectorAll("main *, header *")) {
    if (![...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || !it.checkVisibility() || it instanceof SVGElement || it.disabled) continue;
    const [a, b] = [luminance(parse(getComputedStyle(it).color)), luminance(ground(it))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) low.push(`${it.tagName} ${it.className} ${it.textContent.slice(0, 20)} ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return low;
})()"""

NAMELESS = """[...document.querySelectorAll("button, input, select, canvas, a")].filter((it) =>
  !(it.getAttribute("aria-label") || it.labels?.length || it.textContent.trim())).map((it) => it.outerHTML)"""

PIXELS = """(() => { const it = document.querySelector("canvas"); const copy = new OffscreenCanvas(it.width, it.height);
  const context = copy.getContext("2d", {willReadFrequently: true}); context.drawImage(it, 0, 0);
  const data = context.getImageData(0, 0, it.width, it.height).data;
  let hash = 7; for (let i = 0; i < data.length; i += 4) hash = (hash * 31 + data[i] + data[i + 1] * 3 + data[i + 3]) | 0; return hash; })()"""


class Filled:
    """A server with collections to look at."""

    def __init__(self, *arguments, key=None):
        self.folder = tempfile.TemporaryDirectory(prefix="cairn-dashboard-")
        self.server = Serving(CAIRN, self.folder.name, *arguments).start()
        self.key = key

    def ask(self, method, path, body=None):
        headers = {"content-type": "application/json", **({"api-key": self.key} if self.key else {})}
        request = urllib.request.Request(f"{self.server.url}/cairn/v1/{path}", None if body is None else json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def fill(self, rows):
        chance = random.Random(4)
        self.ask("POST", "collections", {"name": "agent-notes", "lexical": True})
        self.ask("POST", "collections", {"name": "raw", "dim": 4, "metric": "l2"})
        self.ask("POST", "collections", {"name": "empty"})
        patterns = []
        for i in range(rows):
            topic = chance.choice(list(TOPICS))
            patterns.append({"id": f"{topic}-{i}", "text": f"{chance.choice(TOPICS[topic])} {' '.join(chance.choices(WORDS, k=4))}", "domain": topic,
                             "agent": chance.choice(["ci-bot", "ana"]), "payload": {"severity": chance.randint(1, 5), "where": {"team": chance.choice("abc")}}})
        for i in range(0, rows, 500):
            self.ask("PUT", "collections/agent-notes/patterns", {"patterns": patterns[i:i + 500]})
        self.ask("PUT", "collections/raw/patterns", {"patterns": [
            {"id": i, "vector": [chance.gauss(i % 3 * 4, 1) for _ in range(4)], "payload": {"group": "abc"[i % 3], "size": i}} for i in range(90)]})
        return self

    def end(self):
        status = self.server.end()
        self.folder.cleanup()
        return status


class DashboardTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(find_chromium())
        cls.addClassCleanup(cls.browser.close)
        cls.filled = Filled().fill(int(os.environ.get("CAIRN_ROWS", "600")))
        cls.addClassCleanup(cls.filled.end)
        cls.url = cls.filled.server.url

    def page(self, hash_path="#/", url=None, **settings):
        page = self.browser.page(**settings)
        page.open(f"{url or self.url}/dashboard{hash_path}")
        return page

    def clean(self, page, url=None):
        """Nothing was complained of, and nothing asked of anybody else."""
        self.assertEqual(page.complaints, [])
        self.assertGreater(len(page.requests), 3)
        self.assertEqual([it for it in page.requests if not it.startswith((url or self.url) + "/")], [])

    def keep(self, page, name):
        if os.environ.get("CAIRN_PICTURES"):
            os.makedirs(os.environ["CAIRN_PICTURES"], exist_ok=True)
            page.picture(os.path.join(os.environ["CAIRN_PICTURES"], name + ".png"))

    def test_overview(self):
        for dark in [False, True]:
            for width, height in [(1280, 800), (390, 844), (360, 640)]:
                page = self.page(width=width, height=height, dark=dark, mobile=width < 500)
                page.wait("document.querySelectorAll('tbody a').length === 3")
                text = page.text()
                for part in ["agent-notes", "raw", "empty", "384 · cosine", "4 · l2", "live", "None took"]:
                    self.assertIn(part, text)
                self.assertEqual(page.run("document.documentElement.scrollWidth"), width)
                self.assertEqual(page.run(CONTRAST), [], f"dark {dark}")
                self.assertEqual(page.run(NAMELESS), [])
                self.keep(page, f"overview-{width}-{'dark' if dark else 'light'}")
                self.clean(page)

    def test_collection(self):
        for dark in [False, True]:
            for width, height in [(1280, 800), (390, 844), (360, 640)]:
                page = self.page("#/collections/agent-notes", width=width, height=height, dark=dark, mobile=width < 500)
                page.wait("document.querySelector('#map-legend li') && document.querySelector('#recall-body svg')")
                page.run("document.querySelector('details').open = true")
                self.assertEqual(page.run("document.documentElement.scrollWidth"), width)
                self.assertEqual(page.run(CONTRAST), [], f"dark {dark}")
                self.assertEqual(page.run(NAMELESS), [])
                self.keep(page, f"collection-{width}-{'dark' if dark else 'light'}")
                page.place("#map-about")
                self.keep(page, f"map-{width}-{'dark' if dark else 'light'}")
                page.place("#recall-body")
                self.keep(page, f"recall-{width}-{'dark' if dark else 'light'}")
                self.clean(page)

    def test_live_figures_move(self):
        page = self.page()
        for _ in range(5):
            self.filled.ask("POST", "collections/agent-notes/search", {"text": "cache"})
        page.wait("[...document.querySelectorAll('.tile')].some((it) => /Queries a second\\s+0\\.[1-9]/.test(it.innerText))")
        page.wait("/Query p99\\s+[0-9.]+ m?s/.test(document.body.innerText)")
        self.clean(page)

    def test_themes(self):
        ground = "getComputedStyle(document.body).backgroundColor"
        page = self.page(dark=False)
        light = page.run(ground)
        page.prefer(dark=True)
        dark = page.run(ground)
        self.assertNotEqual(light, dark)
        page.click("#theme-button")  # chosen by hand: the system's no longer counts, nor after loading anew
        self.assertEqual((page.run(ground), page.text("#theme-button")), (light, "Dark"))
        page.open("about:blank")
        page.open(self.url + "/dashboard")
        self.assertEqual(page.run(ground), light)
        page.click("#theme-button")
        self.assertEqual(page.run(ground), dark)
        self.clean(page, self.url)

    def test_search(self):
        page = self.page("#/collections/agent-notes")
        page.wait("document.querySelector('#search-text')")
        page.type("#search-text", "the build cache is cold")
        page.press("Enter")
        page.wait("document.querySelector('#search-results .hit .score')")
        self.assertEqual(page.run("document.querySelectorAll('#search-results .hit').length"), 10)
        self.assertIn("the build cache is cold after a merge", page.text("#search-results .hit"))
        self.assertRegex(page.text("#search-results .plan"), r"plan hybrid\s+found 10\s+of rows \d+\s+compared \d+\s+in the engine [\d.]+ ms")
        self.assertRegex(page.text("#search-results .hit"), r"severity \d")
        page.run("document.querySelector('#search-mode').value = 'lexical'; document.querySelector('#search-text').value = 'zebra'")
        page.click(".search button")
        page.wait("document.querySelector('#search-results .empty')")
        self.assertIn("Try fewer", page.text("#search-results"))
        page.run("document.querySelector('#search-text').value = ' '")
        page.click(".search button")
        page.wait("document.querySelector('#search-results').innerText.includes('Type a few words')")
        self.clean(page)

    def test_search_where_there_are_no_words(self):
        page = self.page("#/collections/raw")
        page.wait("document.querySelector('#map-legend li')")
        self.assertIn("cannot be asked in words", page.text())
        self.assertFalse(page.run("!!document.querySelector('#search-text')"))
        self.assertIn("All rows are scanned", page.text("#recall-body"))
        self.clean(page)

    def state(self, page):
        page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")
        data = page.run("({...document.querySelector('canvas').dataset})")
        return float(data["x"]), float(data["y"]), float(data["scale"]), page.run(PIXELS)

    def test_map(self):
        page = self.page("#/collections/raw")
        page.wait("Number(document.querySelector('canvas')?.dataset.points) === 90")
        start = self.state(page)
        page.drag("canvas", 120, -60)
        moved = self.state(page)
        self.assertLess(moved[0], start[0])
        self.assertLess(moved[1], start[1])
        self.assertAlmostEqual((start[0] - moved[0]) * start[2], 120, delta=2)
        self.assertEqual(moved[2], start[2])
        self.assertNotEqual(moved[3], start[3])
        x, y = page.place("canvas")
        page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
        page.wait(f"Number(document.querySelector('canvas').dataset.scale) > {moved[2] * 1.2}")
        zoomed = self.state(page)
        page.click("[aria-label='Zoom out']")
        self.assertLess(self.state(page)[2], zoomed[2])
        page.click("[aria-label='Show all points']")
        self.assertEqual(self.state(page)[:3], start[:3])
        page.run("document.querySelector('canvas').focus()")
        for key, place, sign in [("ArrowLeft", 0, -1), ("ArrowRight", 0, 1), ("ArrowUp", 1, 1), ("ArrowDown", 1, -1), ("+", 2, 1), ("-", 2, -1)]:
            before = self.state(page)
            page.press(key)
            self.assertGreater((self.state(page)[place] - before[place]) * sign, 0, key)
        page.press("0")
        page.press("Enter")
        page.wait("document.querySelector('#picked-id') && document.querySelector('.picked pre')")
        first = page.text("#picked-id")
        self.assertIn('"group"', page.text(".picked pre"))
        page.press("n")
        page.wait(f"document.querySelector('#picked-id').innerText !== '{first}'")
        self.assertEqual(page.text("#map-legend").split(), ["a", "30", "b", "30", "c", "30"])
        page.run("(() => { const it = document.querySelector('#map-label'); it.value = 'payload.size'; it.dispatchEvent(new Event('change')); })()")
        page.wait("/0 to \\d+/.test(document.querySelector('#map-legend').innerText)")
        self.clean(page)

    def test_resting_on_a_point_shows_it(self):
        page = self.page("#/collections/agent-notes")
        page.wait("Number(document.querySelector('canvas')?.dataset.points) > 0")
        x, y = page.place("canvas")
        for i in range(40):  # somewhere on the way there is a point
            page.mouse("mouseMoved", x - 100 + 5 * i, y)
        page.wait("document.querySelector('.picked dd') && document.querySelector('.picked pre')")
        self.assertIn("severity", page.text(".picked pre"))
        self.clean(page)

    def test_texts_are_never_markup(self):
        name = f"evil {EVIL}"
        self.filled.ask("POST", "collections", {"name": name, "lexical": True, "metadata": {"m": EVIL}})
        self.addCleanup(self.filled.ask, "DELETE", "collections/" + urllib.parse.quote(name, safe=""))
        self.filled.ask("PUT", f"collections/{urllib.parse.quote(name, safe='')}/patterns", {"patterns": [
            {"id": f"{EVIL} {i}", "text": f"text {EVIL}", "domain": f"{EVIL} {i % 2}", "agent": EVIL, "type": EVIL, "payload": {EVIL: EVIL, "p": {EVIL: [EVIL]}}}
            for i in range(5)]})
        page = self.page()
        page.wait("document.querySelectorAll('tbody a').length === 4")
        self.assertIn(EVIL, page.text())
        page.run("[...document.querySelectorAll('tbody a')].find((it) => it.innerText.startsWith('evil')).click()")
        page.wait("document.querySelector('#map-legend li') && document.querySelector('#recall-body svg')")
        page.type("#search-text", EVIL + " text")
        page.press("Enter")
        page.wait("document.querySelector('#search-results .hit')")
        labels = page.run("[...document.querySelector('#map-label').options].map((it) => it.value)")
        self.assertIn("payload." + EVIL, labels)
        for label in labels:
            page.run(f"(() => {{ const it = document.querySelector('#map-label'); it.value = {json.dumps(label)}; it.dispatchEvent(new Event('change')); }})()")
        page.run("document.querySelector('canvas').focus()")
        page.press("Enter")
        page.wait("document.querySelector('.picked pre')")
        for part in ["h1", "#crumbs", "#search-results .hit .id", "#search-results .text", "#search-results .tag", "#picked-id", ".picked pre", ".bars .name"]:
            self.assertIn("onerror", page.text(part), part)
        self.assertEqual(page.run("document.querySelectorAll('img').length"), 1)
        self.assertFalse(page.run("'broken' in window"))
        self.clean(page)

    def test_nothing_there_says_what_to_do(self):
        bare = Filled()
        self.addCleanup(bare.end)
        url = bare.server.url
        page = self.page(url=url)
        page.wait("document.body.innerText.includes('There is no collection yet')")
        self.assertIn(f"curl {url}/cairn/v1/collections", page.text())
        page.open(f"{url}/dashboard#/collections/gone")
        page.wait("document.body.innerText.includes('There is no such collection')")
        page.open(f"{url}/dashboard#/nonsense")
        page.wait("document.body.innerText.includes('There is nothing here')")
        bare.ask("POST", "collections", {"name": "new"})
        page.open(f"{url}/dashboard#/collections/new")
        page.wait("document.body.innerText.includes('Nothing in it yet')")
        bare.ask("PUT", "collections/new/patterns", {"id": "first", "text": "what was learned"})
        page.wait("document.querySelector('#search-text')")  # without loading anew
        self.assertEqual([it for it in page.complaints if "404" not in it], [])

    def test_keys(self):
        folder = tempfile.TemporaryDirectory(prefix="cairn-keys-")
        self.addCleanup(folder.cleanup)
        keys, lines = {}, []
        for role, more in [("admin", []), ("read", ["--key-collections", "raw"])]:
            made = subprocess.run([CAIRN, "serve", "--new-key", role, *more], check=True, capture_output=True, text=True, timeout=60).stdout.split("\n")
            keys[role] = made[0]
            lines.append(made[1])
        path = os.path.join(folder.name, "keys")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        locked = Filled("--keys", path, key=keys["admin"]).fill(60)
        self.addCleanup(locked.end)
        page = self.page(url=locked.server.url)
        page.wait("document.querySelector('#key-dialog').open")
        self.assertIn("asks for a key", page.text("#key-dialog"))
        self.keep(page, "key")
        page.type("#key-input", "cairn_wrong")
        page.press("Enter")
        page.wait("document.querySelector('#key-dialog').open && document.querySelector('#key-why').innerText.includes('does not know')")
        page.type("#key-input", keys["read"])
        page.press("Enter")
        page.wait("document.querySelectorAll('tbody a').length === 1")  # the one it covers
        self.assertNotIn("agent-notes", page.text())
        self.assertEqual([it for it in page.complaints if "403" in it], [])  # it asks only for what it may see
        page.run("location.hash = '#/collections/agent-notes'")
        page.wait("document.body.innerText.includes('This key may not see that')")
        page.click("#key-button")
        page.type("#key-input", keys["admin"])
        page.press("Enter")
        page.wait("document.querySelector('#map-legend li')")
        self.assertEqual(page.run("Object.values(sessionStorage)"), [keys["admin"]])
        self.assertNotIn(keys["admin"], page.run("JSON.stringify(Object.values(localStorage)) + document.cookie + location.href + document.body.innerHTML"))
        self.assertEqual([it for it in page.requests if "cairn_" in it], [])
        page.click("#key-button")
        page.click("#key-forget")
        page.wait("document.querySelector('#key-dialog').open")
        page.press("Escape")
        page.wait("document.body.innerText.includes('This server asks for a key')")
        self.assertEqual(page.run("sessionStorage.length"), 0)
        self.assertEqual([it for it in page.complaints if "401" not in it and "403" not in it], [])

    def test_a_server_that_goes_and_comes(self):
        other = Filled()
        self.addCleanup(other.end)
        page = self.page(url=other.server.url)
        page.wait("document.querySelector('#state-text').innerText === 'live'")
        other.server.end()
        page.wait("document.querySelector('#state-text').innerText.includes('does not answer')")
        other.server.start()
        page.wait("document.querySelector('#state-text').innerText === 'live'")

    def test_keyboard(self):
        page = self.page()
        page.wait("document.querySelectorAll('tbody a').length >= 3")
        order = []
        for _ in range(5):
            page.press("Tab")
            order.append(page.run("document.activeElement.id || document.activeElement.className || document.activeElement.innerText"))
        self.assertEqual(order[:4], ["skip", "brand", "key-button", "theme-button"])
        page.run("document.getElementById('skip').focus()")
        page.press("Enter")
        self.assertEqual(page.run("document.activeElement.id"), "main")
        self.assertEqual(page.run("location.hash"), "#/")
        page.click("#key-button")
        self.assertEqual(page.run("document.activeElement.id"), "key-input")
        page.press("Escape")
        self.assertFalse(page.run("document.querySelector('#key-dialog').open"))
        self.clean(page)


if __name__ == "__main__":
    CAIRN = sys.argv.pop(1)
    if find_chromium() is None:
        print("skipped: no chromium (./dev setup browser installs one)")
        sys.exit(77)
    unittest.main()
