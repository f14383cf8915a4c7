"""Where the project is, and how it speaks to the person at the terminal."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def say(text: str) -> None:
    """A line for the person at the terminal; stdout is for results."""
    print(f"ztgate: {text}", file=sys.stderr)
