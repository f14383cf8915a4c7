"""Which of the three programs this is, by its name or its first switches."""

from collections.abc import Sequence
from pathlib import PurePath


def main(argv: Sequence[str]) -> int:
    """Run zerotier-one, zerotier-cli or zerotier-idtool; only what is needed is imported."""
    name, rest = PurePath(argv[0]).name, list(argv[1:])
    if "idtool" in name:
        from . import idtool

        return idtool.main(rest)
    if "-i" in rest:
        from . import idtool

        return idtool.main(rest[rest.index("-i") + 1 :])
    if "cli" in name or "-q" in rest:
        from . import cli

        return cli.main(rest)
    from . import daemon

    return daemon.main(rest)
