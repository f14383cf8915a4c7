"""What fills an image: its root file system's bytes by Debian package and by directory."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

INFO = "var/lib/dpkg/info/"
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


def of_image(rootfs: Path, ours: Iterable[str]) -> list[Size]:
    """From the root file system's tar; `ours` are the paths that are no package's but the project's."""
    with tarfile.open(rootfs) as tar:
        files = {member.name.removeprefix("./"): member for member in tar}
        owners = dict(_owners(tar, files))
    own = set(ours)
    by_package: dict[str, Counter[str]] = {}
    for path, member in files.items():
        package = owners.get(_real(path), OURS if _ours(path, own) else MADE)
        by_package.setdefault(package, Counter())[_directory(path)] += member.size
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


def _owners(tar: tarfile.TarFile, files: Mapping[str, tarfile.TarInfo]) -> Iterator[tuple[str, str]]:
    for path, member in files.items():
        if path.startswith(INFO) and path.endswith(".list"):
            package = path.removeprefix(INFO).removesuffix(".list").split(":")[0]
            listed = tar.extractfile(member)
            for line in listed.read().decode().splitlines() if listed else ():
                yield _real(line.lstrip("/")), package
            yield path, package


def _real(path: str) -> str:
    """Debian's merged /usr: packages may name a file by the link that leads there."""
    first = path.split("/")[0]
    return f"usr/{path}" if first in ("bin", "sbin", "lib", "lib64") else path


def _ours(path: str, own: set[str]) -> bool:
    return path in own or path.startswith(("usr/lib/ztgate/", "usr/share/ztgate/"))


def _directory(path: str) -> str:
    return "/".join(path.split("/")[:DEPTH])


def _mib(size: int) -> str:
    return f"{size / (1 << 20):7.1f}"
