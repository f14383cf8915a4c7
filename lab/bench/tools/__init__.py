"""The tools that are measured, one file each: what they are given, and what they are told in each case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# The cases, in the order in which they are measured: each finds what the one before has left.
COLD, PACKAGES, OVERLAY, UNCHANGED, ADDED = "cold", "packages", "overlay", "unchanged", "added"
CASES = {
    COLD: "from nothing, every cache empty",
    PACKAGES: "the packages are in the cache, and nothing else",
    OVERLAY: "one file laid over the system has changed",
    UNCHANGED: "nothing has changed",
    ADDED: "one package more",
}
OVERLAID = "etc/ztgate-bench.conf"  # the file that changes
MORE = "htop"  # the package that is added


@dataclass(frozen=True)
class Task:
    """What everybody is told to make."""

    image: str
    suite: str
    packages: tuple[str, ...]
    mirror: str
    root: Path  # of the repository
    zerotier: Path


@dataclass(frozen=True)
class Recipe:
    """How a tool does it, in shell, in a directory of its own that is empty at first."""

    name: str
    makes: str  # in a few words
    package: str  # Debian's, for its version; empty for what is in the repository
    build: Mapping[str, str]  # by case; what it cannot do is not there
    files: Mapping[str, str] = field(default_factory=dict)
    prepare: str = ""  # once, unmeasured
    forget: Mapping[str, str] = field(default_factory=dict)  # unmeasured, before a case
    overlay: str = "overlay"  # the directory that OVERLAID is in
    result: str = "disk.img"
