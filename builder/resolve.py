"""Asking Debian's mirror: which packages a wish comes to, and where they are. Nothing is installed.

apt does it, on an empty root that mmdebstrap has prepared with sources, keys and the mirror's lists.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from builder import debian
from builder.errors import BuildError
from builder.lock import Pin, Wanted
from builder.store import UNFINISHED

# What `apt-get --print-uris` says: 'URL' FILE SIZE SHA256:SUM
URI = re.compile(r"'(\S+)' (\S+)_(\S+)_(\w+)\.deb \d+ SHA256:([0-9a-f]{64})")
PLACE = re.compile(r"ztgate-place (\S+)")
SOURCE = re.compile(r"deb (?:\[[^]]*\] )?(\S+) ")
START = """\
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
apt-get indextargets --format 'ztgate-place $(REPO_URI)' 'Created-By: Packages'
"""
WISH = "ztgate-wish"
APT = f"""\
echo {WISH}
apt-get -qq --print-uris -o Acquire::ForceHash=sha256 {{action}} {{packages}}
"""


def resolve(wanted: Mapping[str, Wanted], mirror: str, scratch: Path) -> dict[str, dict[Pin, str]]:
    """By stage, the packages and the address of each; `scratch` is a directory of the cache, which is swept.

    The mirror's lists are fetched and read once for all stages that need the same.
    """
    alike: dict[tuple[object, ...], list[str]] = {}
    for stage, wish in wanted.items():
        lists = (
            wish.suite,
            wish.architectures,
            wish.components,
            *debian.backports(wish.suite, wish.packages),
        )
        alike.setdefault(lists, []).append(stage)
    found: dict[str, dict[Pin, str]] = {}
    for stages in alike.values():
        first = wanted[stages[0]]
        hook = START + "".join(_question(wanted[stage]) for stage in stages)
        said = _mmdebstrap(first, mirror, scratch, [f"--customize-hook={hook}"])
        places, *answers = re.split(rf"^{WISH}$", said, flags=re.MULTILINE)  # it shows the hook, too
        for stage, answer in zip(stages, answers, strict=True):
            found[stage] = _answered(wanted[stage], places, answer)
    return {stage: found[stage] for stage in wanted}


def _question(wish: Wanted) -> str:
    # As mmdebstrap will: with an empty status, an upgrade installs what is essential.
    action, more = ("dist-upgrade", ["apt"]) if wish.system else ("install", [])
    return APT.format(action=action, packages=shlex.join([*more, *wish.packages]))


def _answered(wanted: Wanted, lists: str, said: str) -> dict[Pin, str]:
    places = sorted(set(PLACE.findall(lists)), key=len, reverse=True)
    found = {}
    for url, name, version, architecture, sha256 in URI.findall(said):
        place = next((place for place in places if url.startswith(place)), "")
        path = unquote(url.removeprefix(place).lstrip("/"))
        found[Pin(name, architecture, unquote(version), sha256, path)] = url
    if not found:
        raise BuildError(f"apt lists no packages for {' '.join(wanted.packages)}")
    return found


def places(wanted: Wanted, mirror: str, scratch: Path) -> list[str]:
    """Addresses below which packages may be: of the mirror, then Debian's own as mmdebstrap knows them."""
    said = _mmdebstrap(wanted, "", scratch, ["--skip=update", '--setup-hook=cat "$1/etc/apt/sources.list"'])
    return list(dict.fromkeys([*([mirror] if mirror else []), *SOURCE.findall(said)]))


def _mmdebstrap(wanted: Wanted, mirror: str, scratch: Path, options: Sequence[str]) -> str:
    lines: list[str] = []
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=scratch, ignore_cleanup_errors=True) as directory:
        debian.mmdebstrap(
            [
                "--variant=custom",
                "--format=null",
                "--skip=check/qemu",
                f"--architectures={','.join(wanted.architectures)}",
                f"--components={','.join(wanted.components)}",
                *debian.backports(wanted.suite, wanted.packages),
                *options,
            ],
            suite=wanted.suite,
            target=Path("/dev/null"),
            mirror=mirror,
            epoch=0,
            line=lines.append,
            scratch=Path(directory),
        )
    return "\n".join(lines)
