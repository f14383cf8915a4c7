"""A crash while a program has the token in its memory."""

from pathlib import Path

from lab import disk, topology, traces
from lab.checks import Scene, want
from lab.retry import retry

# On the gateway, in memory.
GIVEN = "/run/token"
# Nothing of ours: what any program would leave that holds a secret and is allowed a core file.
ANY = f"""\
cd /var/tmp && ulimit -c unlimited && ! python3 -c 'import os; token = open("{GIVEN}").read(); os.abort()'
"""


def crash(scene: Scene, scratch: Path) -> None:
    """Let `ztgate withdraw` wait for a controller out of reach and abort; the token is nowhere afterwards."""
    shell = scene.world.shell()
    (scratch / "token").write_text(scene.token)
    shell.put(scratch / "token", GIVEN)
    shell.run("systemctl stop ztgate.timer ztgate.service")
    for address in (topology.CONTROLLER.ipv4.ip, topology.CONTROLLER.ipv6.ip):
        shell.run(f"ip route add unreachable {address}")
    limits = "--property=LimitCORE=infinity --property=WorkingDirectory=/var/tmp"
    shell.run(f"systemd-run --unit=leaving {limits} ztgate withdraw --token-file {GIVEN}")
    said = "journalctl --no-pager -u leaving"
    retry(lambda: want("cannot be reached" in shell.run(said), "it does not wait"), 120, "a pause of it")
    shell.run(ANY)
    shell.run(f"rm {GIVEN}")

    assert traces.places(shell, scene.token) == [], "while it has the token"
    assert "Max core file size        0 " in shell.run(
        "cat /proc/$(systemctl show -P MainPID leaving)/limits"
    )
    shell.run("systemctl kill --signal=ABRT leaving")
    retry(lambda: want("status=6/ABRT" in shell.run(said), "it goes on"), 60, "its end")
    assert traces.places(shell, scene.token) == [], "after the crash"
    shell.run("sync")
    scene.gateway.cut_power()
    assert disk.places(scene.gateway.options.disk, scene.token, scene.world.work) == []
