"""Builds the stand-in's Debian package: the same bytes every time, with no tool but Python.

A .deb is an `ar` archive of a version mark and two tar archives; these are left uncompressed, because
compressors differ between machines and tar does not.
"""

import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lab.standin.zerotier_one_standin import PACKAGE_VERSION

_HERE = Path(__file__).resolve().parent
_DEBIAN = _HERE / "debian"
_SOURCE = _HERE / "zerotier_one_standin"
_LIBRARY = "usr/lib/zerotier-one-standin/zerotier_one_standin"
_EPOCH = 1767225600  # 2026-01-01, unless SOURCE_DATE_EPOCH says otherwise
_SCRIPTS = ("postinst", "prerm", "postrm")


class _Entry(NamedTuple):
    """A file, directory (no content) or symbolic link of the package."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    link: str = ""


def _files() -> Iterator[_Entry]:
    yield _Entry("usr/sbin/zerotier-one", (_DEBIAN / "launcher").read_bytes(), 0o755)
    for name in ("zerotier-cli", "zerotier-idtool"):
        yield _Entry(f"usr/sbin/{name}", link="zerotier-one")
    unit = "usr/lib/systemd/system/zerotier-one.service"
    yield _Entry(unit, (_DEBIAN / "zerotier-one.service").read_bytes())
    for name in ("README", "copyright"):
        yield _Entry(f"usr/share/doc/zerotier-one/{name}", (_DEBIAN / name).read_bytes())
    for source in sorted(_SOURCE.glob("*.py")):
        yield _Entry(f"{_LIBRARY}/{source.name}", source.read_bytes())


def _with_folders(files: list[_Entry]) -> list[_Entry]:
    folders = {"var/lib/zerotier-one", *(str(up) for file in files for up in Path(file.path).parents)}
    folders |= {str(up) for up in Path("var/lib/zerotier-one").parents}
    entries = [*files, *(_Entry(folder, mode=0o755) for folder in folders if folder != ".")]
    return sorted(entries, key=lambda entry: entry.path)


def _tar(entries: list[_Entry], epoch: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for entry in entries:
            member = tarfile.TarInfo(f"./{entry.path}")
            member.mode, member.mtime = entry.mode, epoch
            member.uname = member.gname = "root"
            if entry.link:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, entry.link, 0o777
            elif not entry.content:
                member.type = tarfile.DIRTYPE
            member.size = len(entry.content)
            archive.addfile(member, io.BytesIO(entry.content))
    return buffer.getvalue()


def _control(files: list[_Entry]) -> list[_Entry]:
    size = sum(len(file.content) for file in files) // 1024 + 1
    text = (
        (_DEBIAN / "control").read_text().replace("@VERSION@", PACKAGE_VERSION).replace("@SIZE@", str(size))
    )
    sums = "".join(
        f"{hashlib.md5(file.content, usedforsecurity=False).hexdigest()}  {file.path}\n"
        for file in files
        if file.content
    )
    scripts = [_Entry(name, (_DEBIAN / name).read_bytes(), 0o755) for name in _SCRIPTS]
    return [_Entry("control", text.encode()), _Entry("md5sums", sums.encode()), *scripts]


def _ar(members: list[tuple[str, bytes]], epoch: int) -> bytes:
    parts = [b"!<arch>\n"]
    for name, data in members:
        parts.append(f"{name:<16}{epoch:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
        parts.append(data + b"\n" * (len(data) % 2))
    return b"".join(parts)


def build(out_dir: Path) -> Path:
    """Write the package into out_dir and return its path."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", _EPOCH))
    files = sorted(_files(), key=lambda entry: entry.path)
    package = _ar(
        [
            ("debian-binary", b"2.0\n"),
            ("control.tar", _tar(_control(files), epoch)),
            ("data.tar", _tar(_with_folders(files), epoch)),
        ],
        epoch,
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / f"zerotier-one_{PACKAGE_VERSION}_all.deb"
    fresh = target.with_suffix(".new")
    fresh.write_bytes(package)
    fresh.replace(target)
    return target


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "out")))
