"""What puts itself right: the counts, the watchdog's signs of life, and disks that take nothing any more."""

import errno
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ztgate import alive, healed, report, run, service, store, wait
from ztgate.page import metrics
from ztgate.page.facts import Examination, Facts
from ztgate.steps import check_disk, gate, keep_identity, uplink

from .support import GOOD, NODE, FakeController, machine, tools

KEEP = GOOD + "  token-after-setup: keep\n"


@pytest.fixture
def signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """What systemd would have been told since this was asked last."""
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name)
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        monkeypatch.setattr(alive, "SLICE", 0.05)
        monkeypatch.setattr(alive._Round, "told", False)
        monkeypatch.setattr(alive._Round, "end", float("inf"))

        def heard() -> list[str]:
            found = []
            while True:
                try:
                    found.append(listener.recv(200).decode())
                except BlockingIOError:
                    return found

        yield heard


def slow_tool() -> None:
    run.probe((sys.executable, "-c", "import time; time.sleep(0.3)"))


def endless_tool() -> None:
    assert run.probe(("sleep", "60"), timeout=0.3)[0] == 124


def long_wait() -> None:
    wait.SystemClock().sleep(0.3)


def dripping_reply() -> None:
    with pytest.raises(wait.TooSlow), wait.deadline(0.3):
        while True:
            time.sleep(0.01)


@pytest.mark.parametrize("work", [slow_tool, endless_tool, long_wait, dripping_reply])
def test_what_has_a_limit_shows_that_it_is_alive(
    signs: Callable[[], list[str]], work: Callable[[], None]
) -> None:
    work()
    said = signs()
    assert said[0] == "WATCHDOG_USEC=20000000\nWATCHDOG=1", "how long it may be silent is said first"
    assert len(said) >= 4 and set(said[1:]) == {"WATCHDOG=1"}


def test_what_goes_round_in_circles_does_not(
    signs: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself, with the same tools for ever, or for somebody else than systemd."""
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        pass
    assert signs() == []
    monkeypatch.setattr(alive, "ROUND", 0.0)
    alive.begin()
    slow_tool()
    assert signs() == []
    monkeypatch.setattr(alive, "ROUND", 60.0)
    monkeypatch.setenv("WATCHDOG_PID", "1")
    alive.begin()
    assert signs() == []


def test_a_tool_gets_its_input_and_is_heard_to_its_end() -> None:
    text = "x" * 200_000
    assert run.probe(("cat",), stdin=text) == (0, text)


def test_what_is_put_right_is_counted(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, KEEP)
    assert service.apply(made, once=True) == service.READY
    assert healed.read(made.paths) == {}, "a first run puts nothing right"
    pretended = tools(made)
    sysctl = made.paths.sysctl / "net/ipv4/ip_forward"
    sysctl.parent.mkdir(parents=True)
    sysctl.write_text("0\n")
    pretended.loaded = pretended.loaded.replace("ct state invalid drop", "")
    pretended.taken.add("10.66.0.1/24")
    pretended.running -= {"zerotier-one.service", "ztgate-ndppd.service", "ztgate-dns.service"}
    assert service.apply(made, once=True) == service.READY
    kinds = ("forwarding", "ndppd", "resolver", "routes", "rules", "zerotier-one")
    assert healed.read(made.paths) == dict.fromkeys(kinds, 1)
    assert sysctl.read_text() == "1"
    assert service.apply(made, once=True) == service.READY
    status = report.read(made)
    assert status["healed"] == dict.fromkeys(kinds, 1), "nothing was left to do"
    assert "healed since the boot: forwarding 1, ndppd 1" in report.text(status)
    shown = metrics.text(metrics.families(Facts(status=status), Examination(), 0.0), "")
    assert 'ztgate_healed_total{what="rules"} 1' in shown


def test_gates_follow_the_interfaces() -> None:
    first = gate.plan(("ztx", "eth0", "eth0"), frozenset())
    assert len(first) == 4 and "ip -6 rule add pref 90 iif ztx fwmark 0/1 blackhole" in map(str, first)
    present = frozenset((family, name) for family in (4, 6) for name in ("ztx", "eth0"))
    assert gate.plan(("ztx", "eth0", ""), present) == []
    verbs = [str(action).split()[3] for action in gate.plan(("ztx", "eth1"), present)]
    assert verbs == ["add", "add", "del", "del"]


@pytest.mark.parametrize(
    ("stranded", "since", "does"), [("eth0", 500, True), ("eth0", 5, False), ("", 500, False)]
)
def test_a_default_route_is_asked_for_again(stranded: str, since: float, does: bool) -> None:
    assert bool(uplink.plan_default_route(stranded, since)) is does


@pytest.mark.parametrize(("read_only", "free", "words"), [(True, 1 << 40, "read-only"), (False, 0, "full")])
def test_a_disk_that_takes_nothing_is_named(read_only: bool, free: int, words: str) -> None:
    assert words in check_disk.problem(read_only, free)
    assert check_disk.problem(False, 1 << 30) == ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_gateway_works_on_without_its_disk(
    tmp_path: Path, controller: FakeController, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Another WAN's rules are loaded although they cannot be saved, and the status says so."""
    made = machine(tmp_path, controller, KEEP)
    assert service.apply(made, once=True) == service.READY
    write = store.write

    def fails(path: Path, content: bytes, mode: int = 0o644) -> None:
        if made.paths.run_dir not in path.parents and "run" not in path.parts:
            raise OSError(number, os.strerror(number), str(path))
        write(path, content, mode)

    monkeypatch.setattr(store, "write", fails)
    pretended = tools(made)
    for name in ("links", "routes4", "routes6"):
        setattr(pretended, name, getattr(pretended, name).replace("ens3", "ens9"))
    assert service.apply(made, once=True) == service.READY
    assert 'oifname "ens9"' in pretended.loaded
    status = report.read(made)
    assert status["wan"]["interface"] == "ens9"
    assert any(f"cannot be written: {os.strerror(number)}" in text for text in status["warnings"])


def test_an_identity_is_copied_once_it_is_registered(tmp_path: Path) -> None:
    paths = machine(tmp_path).paths
    own = f"{NODE}:0:{'a' * 128}:{'b' * 128}".encode()
    (action,) = keep_identity.plan(own, None, NODE, paths)
    assert str(paths.kept_identity) in str(action)
    assert keep_identity.plan(own, own + b"\n", NODE, paths) == []
    for damaged in (None, b"", own[:-1], b"\0" * 300, own.replace(NODE.encode(), b"0123456789")):
        assert keep_identity.plan(damaged, None, NODE, paths) == []


@pytest.mark.parametrize("content", ["", "null", "[]", '{"state": "ready"}', '{"state": "rea', "\0\0"])
def test_a_damaged_status_is_none(tmp_path: Path, content: str) -> None:
    made = machine(tmp_path)
    made.paths.status_json.parent.mkdir(parents=True)
    made.paths.status_json.write_text(content)
    assert "never ran" in report.text(report.read(made))


@pytest.mark.parametrize("said", ['Cannot find device "zt0"', 'Device "zt0" does not exist.'])
def test_an_interface_that_vanishes_meanwhile_is_waited_for(
    tmp_path: Path, controller: FakeController, said: str
) -> None:
    """Whatever was just asked about it: ZeroTier makes it again, so that is no failure."""
    made = machine(tmp_path, controller, KEEP)
    assert service.apply(made, once=True) == service.READY
    others = made.probe

    def vanished(argv: tuple[str, ...], **options: str) -> tuple[int, str]:
        return (1, said) if argv[:5] == ("ip", "-6", "-j", "neigh", "show") else others(argv, **options)

    made.probe = vanished
    assert service.apply(made, once=True) == service.WAITING
    made.probe = others
    assert service.apply(made, once=True) == service.READY
