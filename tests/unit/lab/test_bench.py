"""The benchmark itself: what is counted, what is shown, and that the docs show what was measured."""

import json
import sys
import time
from pathlib import Path

import pytest

from lab.bench import page, report, run
from lab.bench.report import Devices, Entry, Report, Size
from lab.bench.room import Measured, Room
from lab.bench.tools import CASES, COLD, OVERLAY, PACKAGES, Task
from lab.errors import LabError

TASK = Task("vps", "trixie", ("nano", "linux-image"), "http://m/debian", Path("/repo"), Path("/z.deb"))
# Somebody who leaves his parent, works for a while, and does not end by himself.
DAEMON = """\
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        end = time.process_time() + 0.3
        while time.process_time() < end: pass
        open("worked", "w").close()
        time.sleep(600)
    os._exit(0)
while not os.path.exists("worked"): time.sleep(0.01)
"""


@pytest.fixture
def room(tmp_path: Path) -> Room:
    (tmp_path / "tool").mkdir()
    return Room(tmp_path / "tool")


def test_who_has_left_his_parent_is_counted_and_ended(room: Room) -> None:
    room.write({"daemon.py": DAEMON})
    began = time.monotonic()
    took = room.measured(f"'{sys.executable}' daemon.py")
    assert took.error == ""
    assert 0.3 <= took.cpu <= 60
    assert took.wall <= time.monotonic() - began < 300


def test_an_error_is_a_result(room: Room) -> None:
    took = room.measured("echo first; echo the reason; exit 3")
    assert took.error == "exit status 3: the reason"
    with pytest.raises(LabError, match="tool: exit status 1: no way"):
        room.run("echo no way; exit 1")


def test_a_command_has_its_time(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.bench.room.LIMIT", 1.0)
    assert room.measured("sleep 600").error == "exit status 124: nothing after 1 s"


@pytest.mark.parametrize("name", run.TOOLS)
def test_everybody_is_told_the_same(name: str) -> None:
    recipe = run.TOOLS[name](TASK)
    assert recipe.name == name
    assert {COLD} <= recipe.build.keys() <= CASES.keys()
    assert recipe.forget.keys() <= recipe.build.keys()
    told = " ".join([*recipe.build.values(), *recipe.files.values()])
    assert TASK.mirror in told
    if name != report.OURS:  # which reads its own list
        assert all(package in told for package in (*TASK.packages, TASK.suite))


@pytest.mark.parametrize("name", run.TOOLS)
def test_recipes_in_json_are_no_templates_by_mistake(name: str) -> None:
    for file, text in run.TOOLS[name](TASK).files.items():
        if file.endswith(".yaml"):
            assert json.loads(text)
            assert "}}" not in text.replace("{{ image }}", "")


def took(cpu: float, wall: float = 9.0, error: str = "") -> Measured:
    return Measured(wall, cpu - 1, 1, error)


COPIES = Devices("raw.zst", 10, took(1.0), took(2.0, 9.8))


def made(**more: object) -> Report:
    entries = [
        Entry("mmdebstrap", "1.3", "a tar", {COLD: [took(40.0), took(44.0), took(60.0)]}),
        Entry(
            "ztgate", "abc", "an image", {COLD: [took(55.0)], PACKAGES: [took(22.0)], OVERLAY: [took(2, 2.5)]}
        ),
        Entry("debos", "1.1", "an image", {COLD: [took(5.0, error="exit status 1: no | root")]}),
    ]
    facts = ("2026-11-24", {"cores": "2"}, "vps", ["nano"], "http://m/debian", "Sat, 14 Nov 2026", 3, entries)
    return Report(*facts, **more)  # type: ignore[arg-type]


def test_medians_and_ratios() -> None:
    found = made()
    ours, debos = found.entry("ztgate"), found.entry("debos")
    assert ours is not None
    assert debos is not None
    assert found.ratio(ours, COLD) == pytest.approx(1.25)
    assert found.ratio(ours, "unchanged") is None
    assert (debos.middle(COLD, "cpu"), debos.error(COLD)) == (None, "exit status 1: no | root")
    assert [row[-1] for row in page.aims(found)] == ["missed", "reached", "missed"]


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    full = made(devices=[COPIES], sizes=[Size("vps", 1 << 30, 10**8)])
    path.write_text(full.text())
    assert report.read(path) == full
    path.write_text(full.text().replace('"format": 2', '"format": 0'))
    with pytest.raises(LabError, match="no report of this version's"):
        report.read(path)
    with pytest.raises(LabError, match="No such file"):
        report.read(tmp_path / "none.json")


def test_the_page_and_the_table_have_it_all() -> None:
    boot = {
        "image": "vps",
        "phases": [{"name": "kernel", "instructions": 1234567}],
        "total": 13_000_000_000,
        "later": {"phases": [{"name": "kernel", "instructions": 7654321}], "total": 12_000_000_000},
        "idle_memory_mb": 79.5,
    }
    full = made(devices=[COPIES], sizes=[Size("vps", 1 << 30, 10**8)], boot=boot)
    shown, table = page.document(full), page.table(full)
    for text in (
        "55.0 (1.25)",
        "failed",
        "| vps | 1024 MiB | 100.0 MB |",
        "| raw.zst | 9.0 | 80 | 100 |",
        "| kernel | 1,234,567 | 7,654,321 |",
        "| instructions of a first boot, of what it took before | 0.67 | 0.66 | reached |",
        "| instructions of a later boot, of what it took before | 0.67 | 0.77 | missed |",
        "79.5 MB",
    ):
        assert text in shown, text
    assert r"exit status 1: no \| root" not in shown  # it is in a list, not in a table
    for text in (
        "55.0 (1.25)",
        "debos, cold: exit status 1: no | root",
        "1024 MiB",
        "raw.zst  9.0  80  100",
        "boot: 13,000,000,000",
    ):
        assert text in table, text


def test_a_run_without_everything_has_a_page_as_well() -> None:
    assert "Sizes" not in page.document(made())
    assert "boot" not in page.table(made()).splitlines()[-1]


def test_the_docs_show_the_report_beside_them() -> None:
    assert run.PAGE.read_text() == page.document(report.read(run.KEPT)), "run: ./build.py bench --docs"
