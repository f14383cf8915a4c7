"""What the summary of `make test` stands on: a job that fails, or finds no test, is no good one."""

from pathlib import Path

import pytest

from tests import jobs
from tests.__main__ import LONGEST, TIERS, planned
from tests.conftest import ROOT
from tests.jobs import Job, Result, total

FINE = "def test_a():\n    assert True\n"
CASES = {
    "passes": (FINE, (), True),
    "fails": ("def test_a():\n    assert False\n", (), False),
    "cannot be read": ("def test_a(:\n", (), False),
    "has no test": ("", (), False),
    "has none that is chosen": (FINE, ("-k", "another"), False),
    "skips all": ("import pytest\ndef test_a():\n    pytest.skip('no tool')\n", (), False),
    "ends the process": ("import os\ndef test_a():\n    os._exit(0)\n", (), False),
}


@pytest.mark.parametrize(("text", "options", "ok"), CASES.values(), ids=CASES)
def test_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, options: tuple[str, ...], ok: bool
) -> None:
    monkeypatch.setattr(jobs, "REPORTS", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(text)
    result = Job("unit", str(tmp_path / "test_it.py"), options).run()
    assert total("unit", [result]).ok is ok


def test_one_file_without_a_chosen_test_does_not_spoil_the_others() -> None:
    results = [Result("qemu", False, 0, 0, 0, 1.0), Result("qemu", False, 3, 0, 0, 2.0)]
    assert total("qemu", results) == Result("qemu", False, 3, 0, 0, 3.0)
    assert total("qemu", results).ok


@pytest.mark.parametrize("broken", [Result("qemu", True, 3, 0, 0, 1.0), Result("qemu", False, 3, 1, 0, 1.0)])
def test_one_bad_job_spoils_a_tier(broken: Result) -> None:
    assert not total("qemu", [Result("qemu", False, 3, 0, 0, 1.0), broken]).ok


def test_every_file_is_in_a_job() -> None:
    made = planned(TIERS, {tier: [] for tier in TIERS}, [])
    for path in (ROOT / "tests").glob("*/**/test_*.py"):
        homes = [job for job in made if path.is_relative_to(ROOT / job.path)]
        assert len(homes) == 1, path
        assert homes[0].tier == path.relative_to(ROOT / "tests").parts[0]
    assert len({job.name for job in made}) == len(made)
    assert [job.path.removeprefix("tests/") for job in made][: len(LONGEST)] == list(LONGEST)
