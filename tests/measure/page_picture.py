"""Takes the picture of the operators' page that the README shows, while the simulated plant runs.

python -m tests.measure.page_picture docs/pictures/page.png
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.hmi.test_page_in_browser import CHROMIUM_ARGUMENTS

SECONDS = 60


def main() -> None:
    """Start the demo, wait until there is something to see, take the picture."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "inspector", "demo", "--directory", f"{directory}/demo"]
        demo = subprocess.Popen(
            [*command, "--defect-rate", "0.4", "--seed", "11"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert demo.stdout is not None
            url = next(line.split()[-1] for line in demo.stdout if "operators' page" in line)
            time.sleep(SECONDS)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS
                )
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(url)
                # A browser that starts takes the cores away: what is late for that goes by.
                time.sleep(15)
                target.parent.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=target)
                browser.close()
        finally:
            demo.terminate()
            demo.wait(10)


if __name__ == "__main__":
    main()
