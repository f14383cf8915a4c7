"""`clean`: how large the cache is, and what of it is thrown away."""

import argparse

from builder.errors import BuildError
from builder.project import say
from builder.verbs import Verb, cache, show

MIB = 1 << 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """How much stays."""
    add = parser.add_argument
    add(
        "--keep",
        type=int,
        metavar="N",
        help="keep N artifacts of each stage, those used last; without it nothing goes",
    )
    cache(parser)


def run(options: argparse.Namespace) -> None:
    """Prune if asked to, and show what is there."""
    from builder.store import Store

    if options.keep is not None and options.keep < 0:
        raise BuildError(f"--keep {options.keep}: a number from 0 on is needed", "./build.py clean --keep 5")
    store = Store(options.cache.resolve())
    if not store.root.is_dir():
        raise BuildError(f"{options.cache}: there is no cache", "a build makes one")
    if options.keep is not None:
        with store.locked(lambda: say("waiting: a build uses the cache")):
            before = sum(store.sizes().values())
            store.prune(set(), options.keep)
        say(f"{(before - sum(store.sizes().values())) // MIB} MiB are free again")
    sizes = store.sizes()
    rows = [*sizes.items(), ("together", sum(sizes.values()))]
    lines = [f"{name:10} {size / MIB:8.1f} MiB" for name, size in rows]
    show(options, {"bytes": sizes}, "\n".join(lines))


HELP = "how large the cache is; with --keep, throw the oldest away"
VERB = Verb("clean", HELP, run, arguments, json="the sizes, in bytes,")
