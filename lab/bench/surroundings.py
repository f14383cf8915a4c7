"""The mirror that everybody is told, and the versions of what is measured."""

from __future__ import annotations

import re

from lab import process
from lab.errors import LabError

# As apt lists its sources: whose it is, which part, and where.
TARGETS = [
    "apt-get",
    "indextargets",
    "--format",
    "$(ORIGIN)\t$(COMPONENT)\t$(LABEL)\t$(REPO_URI)",
    "Created-By: Packages",
]


def mirror() -> str:
    """Debian's as this machine's apt knows it.

    Raises:
        LabError: it knows none, as on another system than Debian.
    """
    for line in process.run(TARGETS).splitlines():
        origin, component, label, place = line.split("\t")
        if (origin, component, label) == ("Debian", "main", "Debian"):
            return place.rstrip("/")
    raise LabError("this machine's apt has no mirror of Debian's", "--mirror URL names one")


def mirror_date(place: str, suite: str) -> str:
    """When the mirror's list of packages was made."""
    text = process.run(["curl", "--silent", "--fail", "--location", f"{place}/dists/{suite}/InRelease"])
    found = re.search(r"^Date: (.*)$", text, re.MULTILINE)
    if found is None:
        raise LabError(f"{place}: no InRelease of {suite} there", "--mirror URL names another one")
    return found[1]


def version(package: str) -> str:
    """A Debian package's; empty if it is not installed."""
    words = ["dpkg-query", "--show", "--showformat", "${Version}", package]
    return process.run(words).strip() if process.succeeds(words) else ""
