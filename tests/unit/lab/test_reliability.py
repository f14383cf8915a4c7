"""The table and the page that a soak ends with."""

from dataclasses import replace

from lab import reliability
from lab.reliability import Report
from lab.scenario import Record

CUT = Record(
    "power",
    "a cut while it works",
    within=180,
    seed=1,
    tried=3,
    recovered=[80.0, 91.5, 85.0],
    figures={"KVM": "no"},
)
PREFIX = Record(
    "network", "the /64 rotates", within=60, seed=2, tried=1, lost=["LabError: IPv6: not within 60 s"]
)


def report(*records: Record) -> Report:
    return Report("2026-11-24", "abc1234", 3600, "the lab's stand-in", {"cores": "2"}, list(records))


def test_a_table_has_a_line_for_each_scenario_and_names_what_was_lost() -> None:
    assert reliability.table(report(CUT, PREFIX)).splitlines() == [
        "                      tried  median  worst   allowed  lost",
        "a cut while it works  3      85.0 s  91.5 s  180 s    nothing",
        "the /64 rotates       1      -       -       60 s     1",
        "the /64 rotates: LabError: IPv6: not within 60 s",
        "2 scenarios, 4 rounds: 1 LOST",
    ]
    assert reliability.table(report(CUT)).endswith("1 scenarios, 3 rounds: nothing was lost")


def test_a_page_has_the_machine_the_parts_and_other_figures() -> None:
    page = reliability.page(report(CUT, PREFIX))
    for expected in (
        "as often as 3,600 seconds\nin all allowed",
        "| cores | 2 |\n| ZeroTier | the lab's stand-in |",
        "## Power, disks and faults\n\n|  | tried |",
        "| a cut while it works | 3 | 85.0 s | 91.5 s | 180 s | nothing |\n\n"
        "- a cut while it works: KVM: no\n",
        "## Network life\n",
        "- lost: the /64 rotates: LabError: IPv6: not within 60 s\n",
    ):
        assert expected in page
    assert "## Attacks" not in page


def test_a_report_is_read_as_it_was_written() -> None:
    assert reliability.from_text(reliability.text(report(CUT, PREFIX))) == report(CUT, PREFIX)


def test_what_was_tried_longer_takes_its_place_and_says_so() -> None:
    longer = replace(CUT, tried=10, recovered=[70.0] * 10)
    shorter = replace(PREFIX, tried=0, lost=[])
    both = reliability.with_longer(report(CUT, PREFIX), [longer, shorter], "def5678, 2026-11-30")
    assert both.scenarios == [replace(longer, apart="def5678, 2026-11-30"), PREFIX]
    page = reliability.page(both)
    assert "| a cut while it works | 10 | 70.0 s |" in page
    assert "- a cut while it works: tried by itself: def5678, 2026-11-30\n" in page
