"""A crash while a program has the token in its memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import disk, topology, traces
from lab.checks import Scene, want
from lab.retry import retry
from lab.world import World

# On the gateway, in memory.
GIVEN = "/run/token"
# Nothing of ours: what any program would leave that holds a secret and is allowed a core file.
ANY = f"""\
cd /var/tmp && ulimit -c unlimited && ! python3 -c 'import os; token = open("{GIVEN}").read(); os.abort()'
"""


def crash(scene: Scene, scratch: Path) -> None:
    """Let `ztgate withdraw` wait for a silent controller and abort; the token is nowhere afterwards."""
    shell = scene.world.shell()
    (scratch / "token").write_text(scene.token)
    shell.put(scratch / "token", GIVEN)
    shell.run("systemctl stop ztgate-watch.path ztgate.timer ztgate.service")
    shell.run(ANY)
    with silent(scene.world):
        limits = "--property=LimitCORE=infinity --property=WorkingDirectory=/var/tmp"
        shell.run(f"systemd-run --unit=leaving {limits} ztgate withdraw --token-file {GIVEN}")
        asking = "ss -Htn state syn-sent"
        retry(lambda: want(shell.run(asking).strip() != "", "it does not ask"), 120, "its question")
        limit = shell.run("cat /proc/$(systemctl show -P MainPID leaving)/limits")
        assert "Max core file size        0 " in limit
        shell.run(f"rm {GIVEN}")
        assert traces.places(shell, scene.token) == [], "while it has the token"
        shell.run("systemctl kill --signal=ABRT leaving")
        ended = "journalctl --no-pager -u leaving"
        retry(lambda: want("status=6/ABRT" in shell.run(ended), "it goes on"), 60, "its end")
    assert traces.places(shell, scene.token) == [], "after the crash"
    shell.run("sync")
    scene.gateway.cut_power()
    assert disk.places(scene.gateway.options.disk, scene.token, scene.world.work) == []


@contextmanager
def silent(world: World) -> Iterator[None]:
    """The provider loses every packet to the controller."""
    addresses = [str(address) for address in (topology.CONTROLLER.ipv4.ip, topology.CONTROLLER.ipv6.ip)]
    for address in addresses:
        world.isp.host.run("ip", "route", "add", "blackhole", address)
    try:
        yield
    finally:
        for address in addresses:
            world.isp.host.run("ip", "route", "delete", "blackhole", address)
