"""What fills an image: its root file system's bytes by Debian package and by directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from builder import dpkg, listing

OURS = "(ztgate)"  # overlays, firstboot/, ZeroTier's apt source
MADE = "(made when packages were installed)"
DEPTH = 3  # directories of a path that are told apart
SHOWN = 4  # directories of a package


@dataclass(frozen=True)
class Size:
    """A package's bytes, in all and by directory, the largest first."""

    package: str
    size: int
    directories: tuple[tuple[str, int], ...]


def of_image(tars: Iterable[Path], ours: Iterable[str]) -> list[Size]:
    """From the root file system's tars; `ours` are the paths that are no package's but the project's."""
    sizes_of: dict[str, int] = {}
    owner: dict[str, str] = {}
    for tar in tars:
        owner |= dpkg.owners(tar)
        sizes_of |= {member.path: member.size for member in listing.of_tar(tar)}
    own = set(ours)
    by_package: dict[str, Counter[str]] = {}
    for path, size in sizes_of.items():
        package = owner.get(path, OURS if _ours(path, own) else MADE)
        by_package.setdefault(package, Counter())[_directory(path)] += size
    sizes = [Size(name, sum(c.values()), tuple(c.most_common())) for name, c in by_package.items()]
    return sorted((size for size in sizes if size.size), key=lambda size: -size.size)


def text(sizes: list[Size], least: int = 1 << 20) -> str:
    """A table: what is below `least` bytes is one line."""
    small = [size for size in sizes if size.size < least]
    lines = [f"{'MiB':>7}  package"]
    for size in sizes:
        if size.size >= least:
            lines.append(f"{_mib(size.size)}  {size.package}")
            lines += [f"{'':9}{_mib(n)}  /{name}" for name, n in size.directories[:SHOWN] if n >= least // 4]
    lines.append(f"{_mib(sum(s.size for s in small))}  {len(small)} more, each below {least >> 20} MiB")
    lines.append(f"{_mib(sum(s.size for s in sizes))}  together")
    return "\n".join(lines)


def _ours(path: str, own: set[str]) -> bool:
    return path in own or path.startswith(("usr/lib/ztgate/", "usr/share/ztgate/"))


def _directory(path: str) -> str:
    return "/".join(path.split("/")[:DEPTH])


def _mib(size: int) -> str:
    return f"{size / (1 << 20):7.1f}"
