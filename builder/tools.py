"""Programs of a Debian 13 tree, run without root or chroot, so that every host makes the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.run import Arg, run

LIBRARIES = ("usr/lib/x86_64-linux-gnu",)


@dataclass(frozen=True)
class Tools:
    """An unpacked tree (stage `tools`); its programs run through the tree's own loader and libraries."""

    tree: Path
    epoch: int  # SOURCE_DATE_EPOCH for those that ask for the time

    def run(
        self, program: str, *arguments: Arg, env: Mapping[str, str] | None = None, stdin: bytes | None = None
    ) -> str:
        """Run `usr/sbin/mke2fs` or the like from the tree."""
        return run(self.argv(program, arguments), stdin=stdin, env={**self.environment(), **(env or {})})

    def argv(self, program: str, arguments: Sequence[Arg]) -> list[Arg]:
        """The command line: the tree's loader, its libraries, the program."""
        libraries = ":".join(str(self.tree / directory) for directory in LIBRARIES)
        loader = self.tree / "usr/lib64/ld-linux-x86-64.so.2"
        return [loader, "--library-path", libraries, self.tree / program, *arguments]

    def environment(self) -> dict[str, str]:
        """Where those programs find what they would look for in /etc and /usr of the host."""
        usr = self.tree / "usr"
        return {
            "SOURCE_DATE_EPOCH": str(self.epoch),
            "MKE2FS_CONFIG": str(self.tree / "etc/mke2fs.conf"),
            "MTOOLSRC": "/dev/null",
            "GCONV_PATH": str(usr / "lib/x86_64-linux-gnu/gconv"),
            "PYTHONHOME": str(usr),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
