"""The browser that looks at the gateway's page: Debian's Chromium, elsewhere Playwright's own."""

import shutil
import subprocess
import sys


def program() -> str | None:
    """The machine's own Chromium; None where Playwright's has to do."""
    return shutil.which("chromium")


def ensure() -> None:
    """Download one, with the libraries that it needs, where the machine has none."""
    if program() is None:
        words = ["install", "--with-deps", "--only-shell", "chromium"]
        subprocess.run([sys.executable, "-m", "playwright", *words], check=True)
