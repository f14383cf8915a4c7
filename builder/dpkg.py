"""dpkg's own notes in a root file system: which packages are installed, and which files are theirs."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

STATUS = "var/lib/dpkg/status"
INFO = "var/lib/dpkg/info/"
MERGED = ("bin", "lib", "lib64", "sbin")  # links to the same name below /usr


def installed(status: str) -> dict[str, str]:
    """Packages and versions of a dpkg status file."""
    found = {}
    for stanza in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields["Version"]
    return found


def owners(tar: Path) -> dict[str, str]:
    """Path without a leading slash to package, from the lists in a root file system's tar."""
    with tarfile.open(tar) as packed:
        return dict(_owned(packed))


def _owned(tar: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    for member in tar:
        name = member.name.removeprefix("./")
        if name.startswith(INFO) and name.endswith(".list"):
            package = name.removeprefix(INFO).removesuffix(".list").split(":")[0]
            yield name, package
            content = tar.extractfile(member)
            for line in content.read().decode().splitlines() if content else ():
                yield merged(line), package


def merged(line: str) -> str:
    """Where a path of a package's list is: packages may name a file by the link that leads there."""
    path = line.lstrip("/")
    return f"usr/{path}" if path.split("/")[0] in MERGED else path
