"""Calling mmdebstrap: as root where we are root, in a user namespace otherwise."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from builder import binfmt, foreign, memory, namespace
from builder.errors import BuildError
from builder.run import CommandError, LineHook, run, which

# What a user meets whose machine keeps user namespaces from him, in mmdebstrap's and the kernel's words.
NO_NAMESPACE = ("unshare", "newuidmap", "newgidmap", "/etc/subuid", "user namespace", "uid_map")
NO_MIRROR = ("Could not resolve", "Unable to connect", "Could not connect", "Failed to fetch")

# Of memory to spare, for mmdebstrap to work there: more than all that a build ever takes (pipeline.NEEDED).
# With its tree on ext4 a layer of ZeroTier alone took 6.7 s of processor time, in memory 4.3.
IN_MEMORY = 6 << 30

# So does mmdebstrap pack a tar, but it hands it on through perl, in pieces of 1 KiB: most of a second.
PACK = """\
set -eu
target=$1 directory=$2
shift 2
"$@"
tar --create --file "$target" --directory "$directory" --sort=name --mtime="@$SOURCE_DATE_EPOCH" \\
    --clamp-mtime --numeric-owner --one-file-system --xattrs --format=pax \\
    --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime --exclude='./dev/?*' .
rm -r "$directory"
"""

LISTS = '"$1/etc/apt"/sources.list'


def mode() -> str:
    """mmdebstrap's --mode for the user that we are."""
    return "root" if os.geteuid() == 0 else "unshare"


def mmdebstrap(
    options: Sequence[str],
    *,
    suite: str,
    target: Path,
    mirror: str,
    epoch: int,
    line: LineHook,
    architecture: str = foreign.NATIVE,
    tools: Path | None = None,
    scratch: Path | None = None,
) -> None:
    """Run mmdebstrap, with the tar `target` as its result; an empty mirror means Debian's own.

    `architecture` is that of programs which it will run; the twins of foreign ones are the caller's
    business. `tools` is the tools tree, if its mmdebstrap is wanted and not this machine's. Where there
    can be namespaces, either runs in one, and ends when we are killed. Its temporary tree is in
    `scratch`, or beside the target.
    """
    entered = not namespace.why_not()
    usr = tools / "usr" if tools and entered else None
    emulated = foreign.is_foreign(architecture)
    own = emulated and not foreign.why_not_own(architecture)
    how = "root" if own or entered else mode()  # root is then the namespace's
    env = {"SOURCE_DATE_EPOCH": str(epoch)}
    if emulated and not own:
        env["QEMU_CPU"] = foreign.CPU
    with _scratch(scratch or target.parent) as (place, tmpfs):
        packs = (own or entered) and target.suffix == ".tar"
        result = place / "root" if packs else target
        argv = ["mmdebstrap", f"--mode={how}", *(["--skip=check/qemu"] if emulated else [])]
        argv += [f"--format={'directory' if packs else 'tar'}", *options, suite, str(result)]
        argv += [mirror] if mirror else []
        if packs:
            argv = ["sh", "-c", PACK, "sh", str(target), str(result), *argv]
        if how == "root":
            env["TMPDIR"] = str(place)
        if own:
            argv = [*foreign.inside(architecture, usr, tmpfs), *argv]
        elif entered:
            argv = [*namespace.inside(usr, memory=tmpfs), *argv]
        try:
            run(argv, env=env, on_line=line)
        except CommandError as e:
            raise _explained(e) from None


@contextmanager
def _scratch(beside: Path) -> Iterator[tuple[Path, Path | None]]:
    """A directory for its temporary tree, where a killed build is swept up; again if it may be in memory."""
    place = beside / "scratch"
    place.mkdir(exist_ok=True)
    yield place, place if memory.spare() > IN_MEMORY else None
    with suppress(OSError):  # what an error has left there is swept up as well
        place.rmdir()


def maker() -> str:
    """Whose mmdebstrap it will be, for a stage's inputs."""
    if why := namespace.why_not():
        return f"mmdebstrap of this machine, {run(['mmdebstrap', '--version']).strip()}: {why}"
    return "mmdebstrap of the tools tree"


def backports(suite: str, packages: Sequence[str]) -> list[str]:
    """Options that make the suite of each NAME/SUITE known, at the mirror that mmdebstrap wrote down."""
    others = sorted({package.split("/")[1] for package in packages if "/" in package})
    return [
        f"--setup-hook=sed -n 's/ {suite} / {other} /p' {LISTS} > {LISTS}.d/{other}.list" for other in others
    ]


def locked(repository: Path) -> list[str]:
    """Options: every package comes from that directory (Pool.repository).

    /etc/apt is afterwards as if it had not. mmdebstrap names its keyring in the sources on some machines,
    and the image has the keys anyway. A namespace of our own takes its mounts with it; where there is none,
    nothing is mounted, as a killed build would leave that.
    """
    aside, at = '"$1/.sources"', '"$1/.packages"'
    place = """deb [trusted=yes] file:$(printf %s "$1/.packages" | sed 's/%/%25/g; s/ /%20/g') ./"""
    hide = f'mkdir {aside} && mv {LISTS}.d {LISTS} {aside} && mkdir {LISTS}.d && echo "{place}" > {LISTS}'
    source = shlex.quote(str(repository))
    bring = f"mkdir {at} && mount --bind {source} {at}"
    take_away = f"umount {at} && rmdir {at}"
    if namespace.why_not():
        bring, take_away = f"cp -r {source} {at}", f"rm -r {at}"
    show = (
        f'rm -r {LISTS} {LISTS}.d && mv "$1"/.sources/* "$1/etc/apt" && rmdir {aside} && {take_away} && '
        f"find \"$1\"/etc/apt/sources.list* -type f -exec sed -i 's/ \\[signed-by=[^]]*\\]//' {{}} +"
    )
    return [f"--setup-hook={hide}", f"--setup-hook={bring}", f"--customize-hook={show}"]


def _explained(error: CommandError) -> BuildError:
    """The same error with a hint, where we know the cause."""
    text = error.output
    if "No space left on device" in text:
        return BuildError(error.message, "there is no space left for temporary files; $TMPDIR moves them")
    if any(words in text for words in NO_MIRROR):
        return BuildError(error.message, "Debian's mirror did not answer; --mirror URL names another one")
    if mode() == "unshare" and any(word in text for word in NO_NAMESPACE):
        ids = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {getpass.getuser()}"
        return BuildError(
            error.message, f"you cannot make user namespaces; use sudo, or get ids for them: {ids}"
        )
    return error


def verify(architecture: str = foreign.NATIVE) -> None:
    """mmdebstrap is there, and that architecture's programs can be run in a root that it makes."""
    if which("mmdebstrap") is None:
        raise BuildError("mmdebstrap is not installed", "./build.py setup installs what is missing")
    why = foreign.why_not_own(architecture) if foreign.is_foreign(architecture) else ""
    if not why:
        return
    inside = [] if mode() == "root" else ["mmdebstrap", "--unshare-helper"]
    try:
        run([*inside, "true"])
    except CommandError as e:
        raise _explained(e) from None
    binfmt.verify(architecture, inside, why)
