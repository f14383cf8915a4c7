"""ztgate-watch in a namespace: what it leaves its mark for, and what not."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.netns import Namespace, wire
from lab.retry import NotYet, retry

PROGRAM = Path(__file__).parents[2] / "overlays/common/usr/libexec/ztgate-watch"
MARK = Path("/run/ztgate/changed")  # of the sandbox
PATIENCE = 15  # seconds; a burst is waited for five at most
UNNOTICED = 4  # seconds: a second of quiet, and plenty to compare
ADDRESS = ("address", "change", "2600:db8::1/64", "dev", "wan0", "valid_lft")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A host with a network card and what stands for ZeroTier's interface, and the watcher at work in it."""
    logs = tmp_path_factory.mktemp("watch")
    host, isp = (Namespace(f"watch-{name}", logs).create() for name in ("gw", "isp"))
    wire(isp, "to-gw", host, "wan0")
    wire(isp, "to-zt", host, "ztlab0")
    host.address("wan0", "203.0.1.10/24")
    host.run("ip", *ADDRESS, "2000", "preferred_lft", "1000")
    MARK.parent.mkdir(exist_ok=True)
    host.start("watch", PROGRAM)
    marked("its start: it does not know what it missed")
    yield host
    host.stop()


def marked(what: str) -> None:
    """Wait for the mark, and take it away as ztgate.service does."""

    def check() -> None:
        if not MARK.exists():
            raise NotYet("there is no mark")

    retry(check, PATIENCE, f"a mark after {what}")
    MARK.unlink()


def unmarked(why: str) -> None:
    """There is no mark, and there would have been time for one."""
    time.sleep(UNNOTICED)
    assert not MARK.exists(), why


@pytest.mark.parametrize(
    "words",
    [
        "route add default via 203.0.1.1",
        "address add 203.0.1.11/24 dev wan0",
        "address del 203.0.1.10/24 dev wan0",
        "address add 10.66.0.1/24 dev ztlab0",
        "link set ztlab0 down",
        "-6 route add 2600:db8:0:1::/64 dev wan0",
        "link set wan0 name wan7",
        "link set wan7 down",
    ],
)
def test_a_change_leaves_a_mark(gateway: Namespace, words: str) -> None:
    gateway.run("ip", *words.split())
    marked(words)


def test_what_comes_again_and_again_leaves_none(gateway: Namespace) -> None:
    """Renewed lifetimes, as by router advertisements, and the proxy entries that ztgate sets itself."""
    gateway.run("ip", "link", "set", "wan7", "up")
    marked("the interface is back")
    gateway.run("ip", *ADDRESS[:-2], "wan7", "valid_lft", "2000", "preferred_lft", "1000")
    marked("an address")
    for lifetime in ("3000", "4000"):
        gateway.run("ip", *ADDRESS[:-2], "wan7", "valid_lft", lifetime, "preferred_lft", lifetime)
        gateway.run("ip", "-6", "neigh", "add", "proxy", f"2600:db8::{lifetime}", "dev", "wan7")
        unmarked("only a lifetime has changed")
