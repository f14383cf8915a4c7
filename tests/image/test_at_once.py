"""Two at once in one cache: one waits and says so. What a killed one leaves is swept up by the next."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from .conftest import Disk
from .elsewhere import Condition, Elsewhere, manifest_of

LONG = ("tools", "twins", "base", "own", "agent", "system")
WAITING = "waiting: another build uses the cache"
PATIENCE = 30  # seconds


@contextmanager
def started(elsewhere: Elsewhere, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A verb of build.py at work; gone at the end, whatever came of it."""
    process = subprocess.Popen(
        elsewhere.argv(*words),
        cwd=elsewhere.repository,
        env=elsewhere.environment(shuffled=False),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(process: "subprocess.Popen[str]", text: str) -> None:
    """Read what it says until that comes."""
    said = []
    for line in process.stderr or ():
        said.append(line)
        if text in line:
            return
    pytest.fail(f"{text!r} does not come: {''.join(said)}")


def test_two_at_once_do_not_hurt_each_other(vps: Disk, pi: Disk, tmp_path: Path) -> None:
    """The first one is stopped while it has the cache, until the others have said that they wait."""
    elsewhere = Elsewhere(tmp_path / "x")
    elsewhere.prepare(vps, LONG)
    elsewhere.add(pi, (*LONG, "rootfs", "boot", "disk"))
    manifest = str(vps.path.with_name(f"{vps.name}.manifest.json"))
    verify = ("verify", str(vps.path), "--manifest", manifest, "--cached", "--json")
    builds = [("build", disk.name, "--json") for disk in (vps, vps, pi)]
    with started(elsewhere, *builds[0]) as first, ExitStack() as stack:
        wait_for(first, "from the cache")
        first.send_signal(signal.SIGSTOP)
        others = [stack.enter_context(started(elsewhere, *words)) for words in (*builds[1:], verify)]
        for process in others:
            wait_for(process, WAITING)
        first.send_signal(signal.SIGCONT)
        answers = [process.communicate(timeout=600) for process in (first, *others)]
    assert all(out for out, _ in answers), answers
    said = [json.loads(out) for out, _ in answers]
    one, two, three = (manifest_of(disk)["sha256"] for disk in (vps, vps, pi))
    assert [answer["sha256"] for answer in said] == [one, two, three, one]
    assert all(answer["ok"] for answer in said)
    assert leftovers(elsewhere) == []


# What is killed, as whom, and what it says then.
KILLED: list[tuple[str, Condition, str]] = [
    ("build", Condition(ordinary=True), "base | "),
    ("verify", Condition(), "base | "),
]


@pytest.mark.parametrize(("verb", "condition", "when"), KILLED)
def test_who_is_killed_takes_his_tools_along_and_the_next_one_sweeps(
    vps: Disk, tmp_path: Path, verb: str, condition: Condition, when: str
) -> None:
    elsewhere = Elsewhere(tmp_path / "x", condition)
    elsewhere.prepare(vps, ("tools",))
    manifest = vps.path.with_name(f"{vps.name}.manifest.json")
    words = {"build": ["build", vps.name], "verify": ["verify", str(vps.path), "--manifest", str(manifest)]}
    with started(elsewhere, *words[verb], "--debug") as process:
        wait_for(process, when)
        net = Path(f"/proc/{process.pid}/ns/net").readlink()
        end = time.monotonic() + PATIENCE
        while not (tools := at_work(elsewhere, net) - {process.pid}):  # between two of them
            assert time.monotonic() < end
        send(tools, signal.SIGSTOP)  # or they would end by themselves, at their next word that nobody hears
        process.kill()
        process.wait(PATIENCE)
        end = time.monotonic() + PATIENCE
        while (left := at_work(elsewhere, net)) and time.monotonic() < end:
            time.sleep(0.1)
        send(left, signal.SIGKILL)
        assert left == set()
        assert leftovers(elsewhere) != []
    done = elsewhere.run("clean", "--keep", "9")
    assert done.returncode == 0, done.stderr
    assert leftovers(elsewhere) == []
    elsewhere.add(vps, LONG)
    assert elsewhere.build(vps)["sha256"] == manifest_of(vps)["sha256"]


def send(processes: set[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def at_work(elsewhere: Elsewhere, net: Path) -> set[int]:
    """The processes of that network namespace; where it is everybody's, those that name the directory."""
    alone = net != Path("/proc/self/ns/net").readlink()
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            mine = (process / "ns/net").readlink() == net if alone else str(elsewhere.scratch) in words
        except OSError:  # it has ended, or is somebody else's
            continue
        if mine and words:  # without words: dead, and nobody has looked yet
            found.add(int(process.name))
    return found


def leftovers(elsewhere: Elsewhere) -> list[str]:
    """What is half-made."""
    every = [*elsewhere.cache.glob("*/.tmp-*"), *elsewhere.out.glob(".tmp-*")]
    return sorted(str(path.relative_to(elsewhere.scratch)) for path in every)


@pytest.mark.parametrize("left", ["a tree", "nothing"])
def test_without_network_the_tools_are_those_that_a_build_has_left(
    vps: Disk, tmp_path: Path, left: str
) -> None:
    """`check` and `export` need them. What a build without a lock took is remembered in the cache."""
    elsewhere = Elsewhere(tmp_path / "x")
    elsewhere.prepare(vps, ("tools",) if left == "a tree" else ())
    lock = elsewhere.repository / f"images/{vps.name}.lock"
    if left == "a tree":
        (elsewhere.cache / "locks").mkdir()
        lock.rename(elsewhere.cache / "locks" / f"{vps.name}-0123456789abcdef.lock")
    else:
        lock.unlink()
    done = elsewhere.run("check", str(vps.path), "--target", "proxmox")
    if left == "a tree":
        assert done.returncode == 0, done.stderr
        assert "tools      from the cache" in done.stderr
    else:
        assert done.returncode == 1
        assert "Debian's mirror did not answer" in done.stderr
        assert "Traceback" not in done.stderr
    assert leftovers(elsewhere) == []
