"""Lynis looks at a running gateway. What it finds is in lynis.json, each finding with an answer.

Twenty minutes without KVM. The report is out/tests/lynis-report.dat.
"""

import json
import re
import tarfile
from pathlib import Path

import pytest

from lab.checks import Scene, boots, says_ready
from lab.machine import Shell
from lab.world import World
from tests.conftest import ROOT

pytestmark = pytest.mark.soak
ANSWERS = Path(__file__).with_name("lynis.json")
REPORT = ROOT / "out/tests/lynis-report.dat"
# Where Debian's package has what, and where the program looks when it is started from a directory of its own.
PARTS = {"/usr/sbin/lynis": "lynis", "/usr/share/lynis": ".", "/etc/lynis": "."}
# It writes nothing to the gateway's disk.
AUDIT = """\
cd /run/lynis && tar xf ../lynis.tar
sh ./lynis audit system --quick --no-colors \
    --plugin-dir /run/lynis/plugins --log-file /run/lynis.log --report-file /run/lynis.dat >/run/lynis.out
cat /run/lynis.dat
"""


def findings(report: str) -> dict[str, str]:
    """Warnings and suggestions of a report: what was said, by the test and what of it is meant.

    A line is `suggestion[]=TEST|words|details|solution|`.
    """
    found = {}
    for line in re.findall(r"^(?:warning|suggestion)\[\]=(.*)$", report, re.MULTILINE):
        test, words, details = [*line.split("|"), "", ""][:3]
        found[f"{test} {details.split(' (')[0]}" if details.strip("-") else test] = words
    return found


def audit(shell: Shell, work: Path) -> str:
    """Its report."""
    archive = work / "lynis.tar"
    with tarfile.open(archive, "w", dereference=True) as tar:
        for source, target in PARTS.items():
            tar.add(source, target, filter=_of_root)
    shell.run("mkdir -p /run/lynis")
    shell.put(archive, "/run/lynis.tar")
    return shell.run(AUDIT, timeout=1800)


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    return member


def test_each_finding_is_answered(world: World, tmp_path: Path) -> None:
    answers = json.loads(ANSWERS.read_text())
    with Scene(world) as scene:
        for check in (boots, says_ready):
            check(scene)
        report = audit(world.shell(), tmp_path)
    REPORT.write_text(report)
    found = findings(report)
    assert "lynis_tests_done=" in report, "it came to its end"
    assert {test: words for test, words in found.items() if test not in answers["findings"]} == {}
    index = re.search(r"^hardening_index=(\d+)$", report, re.MULTILINE)
    assert index and int(index[1]) >= answers["hardening_index"] - 3
