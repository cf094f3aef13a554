"""How long the playground's page takes from a stroke to the drawn maps, in a real Chromium.

    python -m benchmarks.strokes RUN [RUN]

Fifty strokes, one after another; what the page draws is timed by its own clock, until the last map is on its canvas.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from lenet.evaluation.load import load_trained
from lenet.playground.describe import describe
from lenet.playground.page import page as html

STROKES = 50
TIMES = """count => Array.from({ length: count }, (_, number) => {
    begin([20 + 5 * number, 40]).points.push([140, 20 + 5 * number], [250 - 4 * number, 240]);
    if (number % 5 === 4) now.strokes = now.strokes.slice(-1);
    const before = performance.now();
    update();
    return performance.now() - before;
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="a finished run, or a file of weights; or two"
    )
    times = measured(parser.parse_args().runs)
    print(f"{len(times)} strokes: quickest {min(times):.1f} ms, median {statistics.median(times):.1f} ms")


def measured(runs: list[Path]) -> list[float]:
    """Milliseconds for each stroke but the first five, in which the browser compiles."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "play.html"
        file.write_text(html([describe(load_trained(run), run) for run in runs]), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(file.as_uri())
        times: list[float] = page.evaluate(TIMES, STROKES + 5)
        browser.close()
    return times[5:]


if __name__ == "__main__":
    main()
