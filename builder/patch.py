"""Laying files over an ext4 file system: debugfs of the tools tree writes them, without root or mount.

That takes a moment, where writing the whole file system again takes seconds. The same file system and the
same files give the same bytes.
"""

from __future__ import annotations

import tarfile
from collections.abc import Container, Iterator, Sequence
from pathlib import Path, PurePosixPath

from builder import debugfs
from builder.errors import BuildError
from builder.tools import Tools

# What it says when all is well; anything else is an error, though it ends with status 0.
FINE = ("debugfs", "Allocated inode: ")


def apply(tools: Tools, disk: Path, offset: int, tar: Path, there: Container[str], scratch: Path) -> None:
    """Write a tar's files to the file system at an offset (in bytes); `there` are the paths that it has.

    Raises:
        BuildError: debugfs could not do all of it.
    """
    scratch.mkdir()
    with tarfile.open(tar) as laid:
        members = laid.getmembers()
        for number, member in enumerate(members):
            if member.isreg() and (content := laid.extractfile(member)):
                file = scratch / str(number)
                file.write_bytes(content.read())
                file.chmod(member.mode)  # debugfs takes it from there
    requests = "".join(f"{line}\n" for line in script(members, there, scratch))
    said = tools.run(
        debugfs.PROGRAM,
        *("-w", "-f", "-", f"{disk}?offset={offset}"),
        stdin=requests.encode(),
        env={"E2FSPROGS_FAKE_TIME": str(tools.epoch)},
    )
    if bad := [line for line in said.splitlines() if line.strip() and not line.startswith(FINE)]:
        raise BuildError(
            f"the root file system does not take what overlays have: {bad[0]}",
            "has an overlay grown while the image was being made? build it again",
        )


def script(members: Sequence[tarfile.TarInfo], there: Container[str], scratch: Path) -> Iterator[str]:
    """debugfs's requests for members of a tar, parents first; the content of member N is scratch/N."""
    for number, member in enumerate(members):
        path = member.name.removeprefix("./")
        place = _quoted(f"/{path}")
        if member.isdir():
            if path not in there:
                yield f"mkdir {place}"
            yield f"sif {place} mode 0{0o040000 | member.mode:o}"
            continue
        if path in there:
            yield f"rm {place}"
        if member.issym():
            yield f"symlink {place} {_quoted(member.linkname)}"
        else:
            yield f"cd {_quoted(f'/{PurePosixPath(path).parent}')}"  # `write` takes no path
            yield f"write {_quoted(str(scratch / str(number)))} {_quoted(PurePosixPath(path).name)}"


def _quoted(text: str) -> str:
    """For debugfs, whose line ends at a line break and which doubles a quote."""
    if "\n" in text:
        raise BuildError(f"an overlay has a name with a line break: {text!r}", "give it another name")
    return '"' + text.replace('"', '""') + '"'
