"""Updates: what is read, what is judged how, and what is kept to go back to."""

import subprocess
from pathlib import Path

import pytest
from ztgate.config import Updates
from ztgate.errors import ZtgateError
from ztgate.paths import Paths
from ztgate.steps import schedule_updates
from ztgate.updates import judge, night, outdated, packages, repack, trial
from ztgate.updates.book import Before, Change
from ztgate.updates.health import Look
from ztgate.updates.judge import BAD, GOOD, LINE

from .support import machine

WELL = Before(ready=True, units=("a.service",))
ILL = Before(ready=False, problems=("it does not forward",))

OPINIONS: dict[str, tuple[Before, Look, str, float]] = {
    "all is well": (WELL, Look(ready=True), GOOD, 0),
    "a service is dead": (WELL, Look(("a.service does not stay up",), ready=True), BAD, judge.DEAD),
    "it was before": (ILL, Look(("it does not forward",)), GOOD, 0),
    "it was not ready before either": (ILL, Look(reason="no configuration", uplink=True), GOOD, 0),
    "the internet answers": (WELL, Look(uplink=True, carrier=True, heard=True), BAD, judge.PATIENCE),
    "no cable": (WELL, Look(address=True), LINE, 0),
    "a cable, and nobody there": (WELL, Look(carrier=True, address=True), LINE, 0),
    "a router, and nothing behind it": (WELL, Look(carrier=True, heard=True, address=True), LINE, 0),
    "packets, and no address": (WELL, Look(carrier=True, heard=True), BAD, judge.PATIENCE),
    "dead on a dead line": (WELL, Look(("a.service does not stay up",)), BAD, judge.DEAD),
}


@pytest.mark.parametrize("name", OPINIONS)
def test_what_a_look_says(name: str) -> None:
    before, look, kind, limit = OPINIONS[name]
    found, after = judge.opinion(before, look)
    assert (found.kind, after) == (kind, limit)


DEAD, SLOW, AWAY = Look(("x",)), Look(uplink=True), Look()
# Looks by second, and the second at which one is bad for good; None: never.
TIMES: dict[str, tuple[dict[int, Look], int | None]] = {
    "dead at once": ({0: DEAD}, 60),
    "dead for a while": ({0: DEAD, 50: AWAY, 60: DEAD, 100: AWAY}, None),
    "slow": ({0: SLOW}, 300),
    "slow after the line was away": ({0: SLOW, 200: AWAY, 1000: SLOW}, 1300),
    "slow, then dead": ({0: SLOW, 100: DEAD}, 160),
    "one or the other": ({n: (SLOW, DEAD)[n % 100 // 50] for n in range(0, 400, 50)}, 300),
}


@pytest.mark.parametrize("name", TIMES)
def test_how_long_it_may_last(name: str) -> None:
    looks, end = TIMES[name]
    judging, current, found = judge.Judge(WELL, 0.0), AWAY, None
    for second in range(0, 1500, 5):
        current = looks.get(second, current)
        if judging.verdict(current, second).kind == BAD:
            found = second
            break
    assert found is None if end is None else found is not None and abs(found - end) <= 5


SIMULATED = """\
NOTE: This is only a simulation!
Inst libssl3t64 [3.5.1-1] (3.5.1-1+deb13u1 Debian-Security:13/stable-security [amd64])
Inst linux-image-6.12.99+deb13-cloud-amd64 (6.12.99-1 Debian-Security:13/stable-security [amd64])
Inst linux-image-cloud-amd64 [6.12.57-1] (6.12.99-1 Debian-Security:13/stable-security [amd64]) []
Conf libssl3t64 (3.5.1-1+deb13u1 Debian-Security:13/stable-security [amd64])
"""


def test_apts_words_are_read() -> None:
    """Kernels come last, on their own; a new one alone, which nothing asks for, is none."""
    changes = packages.changes(SIMULATED)
    ssl, kernel, newest = changes
    assert ssl == Change("libssl3t64", "3.5.1-1", "3.5.1-1+deb13u1") and kernel.old == ""
    assert night.divided(changes, {}) == [(ssl,), (kernel, newest)]
    assert night.divided((kernel,), {}) == []
    nano = Change("nano", "1", "2")
    assert night.divided((ssl, nano), {ssl.name: ssl.new}) == [(nano,), (ssl,)]
    assert night.divided((ssl, nano), {ssl.name: "another"}) == [(ssl, nano)]
    assert packages.wanted(changes) == (
        "libssl3t64=3.5.1-1+deb13u1",
        "linux-image-cloud-amd64=6.12.99-1",
    )


def test_old_kernels_go_and_two_stay() -> None:
    names = ("linux-image-1-cloud", "linux-image-2-cloud", "linux-image-3-cloud", "linux-modules-1-cloud")
    gone = ["linux-image-1-cloud", "linux-modules-1-cloud"]
    assert night.superseded(names, {"2-cloud", "3-cloud"}) == gone


def test_the_disk_has_to_have_room() -> None:
    packages.check_room(10 << 20, 10 << 20)
    with pytest.raises(ZtgateError, match="20 MiB are needed, 10 are free"):
        packages.check_room(10 << 20, 20 << 20)


MAPS = {
    "7f r-xp 0 08:01 1 /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)": True,
    "7f r-xp 0 08:01 1 /usr/lib/x86_64-linux-gnu/libssl.so.3": False,
    "7f rw-p 0 00:01 1 /dev/zero (deleted)": False,
    "7f rw-p 0 00:01 1 /memfd:x (deleted)": False,
    "7f rw-p 0 00:00 0": False,
}


@pytest.mark.parametrize("line", MAPS)
def test_who_runs_from_a_file_that_is_gone(line: str) -> None:
    assert outdated.is_outdated(f"{line}\n") == MAPS[line]


def test_services_start_anew_and_the_machine_where_it_must(tmp_path: Path) -> None:
    made = machine(tmp_path)
    gone = next(line for line, old in MAPS.items() if old)
    groups = ("/init.scope", "/system.slice/ztgate-dns.service", "/user.slice/session-1.scope")
    for number, group in enumerate(groups, 1):
        folder = made.paths.processes / str(number)
        folder.mkdir(parents=True)
        (folder / "maps").write_text(gone)
        (folder / "cgroup").write_text(f"0::{group}\n")
    found = outdated.units(made.paths.processes)
    assert outdated.restart(found) == ["ztgate-dns.service"]
    assert outdated.reboot(made, found) == "init.scope cannot be started anew otherwise"
    assert outdated.reboot(made, {"ztgate-dns.service", "session-1.scope"}) == ""
    made.paths.reboot_required.parent.mkdir(exist_ok=True)
    made.paths.reboot_required.touch()
    assert outdated.reboot(made, set()) == "a package asks for it"


STATUS = """\
Package: probe
Status: install ok installed
Architecture: all
Version: 1:2-3
Maintainer: A <a@example.org>
Conffiles:
 /etc/probe.conf d41d8cd98f00b204e9800998ecf8427e
 /etc/gone.conf d41d8cd98f00b204e9800998ecf8427e
Description: one
 and more
"""


def test_an_installed_package_is_packed_again(tmp_path: Path) -> None:
    """With what was put aside by another package, without what somebody has deleted."""
    made = machine(tmp_path)
    for path in ("etc/probe.conf", "usr/bin/probe", "usr/aside/tool", "usr/bin/tool"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "usr/bin/probe").chmod(0o4755)
    info = tmp_path / "info"
    info.mkdir()
    (info / "probe.conffiles").write_text("/etc/probe.conf\n/etc/gone.conf\n")
    (info / "probe.postinst").write_text("#!/bin/sh\n")
    (info / "probe.postinst").chmod(0o755)
    listed = "/.\n/etc\n/etc/probe.conf\n/etc/gone.conf\n/usr\n/usr/bin\n/usr/bin/probe\n/usr/bin/tool\n"
    answers = {
        "--listfiles": listed + "diverted by other to: /usr/aside/tool\n",
        "--status": STATUS,
        "--control-path": f"{info}/probe.conffiles\n{info}/probe.postinst\n",
    }

    def probe(argv: tuple[str, ...], **_: object) -> tuple[int, str]:
        if argv[0] == "dpkg-query":
            return 0, answers[argv[1]]
        done = subprocess.run(argv, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    made.probe = probe
    target = tmp_path / "old/probe.deb"
    repack.pack(made, "probe", target)

    def said(*words: str) -> str:
        done = subprocess.run(["dpkg-deb", *words, target], capture_output=True, text=True, check=True)
        return done.stdout

    assert "Version: 1:2-3\n" in said("--field") and "Status" not in said("--field")
    names = {line.split()[-1] for line in said("--contents").splitlines() if line.startswith("-")}
    assert names == {"./etc/probe.conf", "./usr/bin/probe", "./usr/bin/tool"}
    assert "-rwsr-xr-x" in said("--contents")
    subprocess.run(["dpkg-deb", "--raw-extract", target, tmp_path / "out"], check=True)
    assert (tmp_path / "out/usr/bin/tool").read_text() == "usr/aside/tool"
    assert (tmp_path / "out/DEBIAN/conffiles").read_text() == "/etc/probe.conf\n"
    assert list(target.parent.iterdir()) == [target], "nothing else stays"


def test_grub_finds_its_block_where_it_was(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    assert not trial.can(paths) and not trial.begin(paths, "1")
    paths.grub_environment.parent.mkdir(parents=True)
    paths.grub_environment.write_bytes(trial.environment(""))
    place = paths.grub_environment.stat().st_ino
    assert not trial.begin(paths, "1"), "there is nothing to go back to"
    for name in trial.FILES:
        (paths.boot / f"{name}-1").write_text(name)
    assert trial.begin(paths, "1")
    content = paths.grub_environment.read_bytes()
    assert len(content) == trial.SIZE and content.startswith(b"# GRUB Environment Block\nnext=new\n#")
    (paths.boot / "initrd.img-1").unlink()  # as update-initramfs replaces it
    assert (paths.good_kernel / "initrd.img").read_text() == "initrd.img"
    trial.end(paths)
    assert b"next" not in paths.grub_environment.read_bytes() and not paths.good_kernel.exists()
    assert paths.grub_environment.stat().st_ino == place


TIMER = Paths(Path("/nowhere")).update_timer
RESTART = "systemctl --no-block restart ztgate-update.timer"
SCHEDULES: dict[str, tuple[Updates, str | None, list[str]]] = {
    "first of all": (Updates(True, 4), None, [f"write {TIMER}", RESTART]),
    "as it should be": (Updates(True, 4), schedule_updates._DROP_IN.format(hour=4), []),
    "another hour": (
        Updates(True, 23),
        schedule_updates._DROP_IN.format(hour=4),
        [f"write {TIMER}", "systemctl daemon-reload", RESTART],
    ),
    "never wanted": (Updates(False, 4), None, []),
    "not wanted any more": (
        Updates(False, 4), "x", ["systemctl stop ztgate-update.timer", f"delete {TIMER}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULES)
def test_when(name: str) -> None:
    settings, now, expected = SCHEDULES[name]
    planned = schedule_updates.plan(settings, now, Paths(Path("/nowhere")))
    assert [str(action) for action in planned] == expected
