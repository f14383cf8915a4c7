"""A night's updates: each ends well, wherever it is interrupted."""

import time
from pathlib import Path

import pytest
from ztgate import report, store
from ztgate.errors import ZtgateError
from ztgate.page import metrics, view
from ztgate.page.facts import Examination, Facts
from ztgate.updates import book, health, night, packages, trial

from .fake_debian import NEW_KERNEL, OLD_KERNEL, Night, PowerCut
from .support import tools

NDPPD = "ztgate-ndppd.service"


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    return Night(tmp_path, monkeypatch)


def test_a_good_night(gate: Night) -> None:
    gate.offer(traceroute="2")
    assert night.run(gate.made) == 0
    assert gate.debian.installed["traceroute"] == "2" and gate.debian.reboots == 0
    assert book.pending(gate.paths) is None and not gate.paths.update_old.exists() and gate.grub == ""
    status = report.read(gate.made)
    assert status["updates"]["last"]["changes"] == ["traceroute 1 to 2"]
    assert any(line.startswith("updates: last ") for line in report.text(status).splitlines())
    assert "ztgate: updates: installed: traceroute 1 to 2" in gate.console.read_text()


def test_a_quiet_night_changes_nothing(gate: Night) -> None:
    before = dict(gate.debian.installed)
    assert night.run(gate.made) == 0
    assert gate.debian.installed == before and book.history(gate.paths).looked > time.time() - 60


def test_a_bad_night_is_taken_back_and_held(gate: Night) -> None:
    gate.offer(ndppd="2")
    gate.debian.harm["ndppd"] = NDPPD
    night.run(gate.made)
    assert gate.debian.installed["ndppd"] == "1"
    status = report.read(gate.made)
    assert status["updates"]["taken_back"]["why"] == f"{NDPPD} does not stay up"
    assert status["updates"]["held"] == {"ndppd": "2"} and "last" not in status["updates"]
    assert "Pin: version 2\nPin-Priority: -1" in gate.paths.update_held.read_text()
    installs = len([call for call in gate.debian.calls if "--no-download" in call])
    night.run(gate.made)
    assert len([call for call in gate.debian.calls if "--no-download" in call]) == installs
    shown = metrics.text(metrics.families(Facts(status=status), Examination(), 0.0), "")
    assert "ztgate_updates_held 1" in shown and "ztgate_update_taken_back_timestamp_seconds" in shown
    page = view.build(Facts(status=status), Examination(), "", 0.0)
    assert any("taken back" in note for note in page.warnings)


def test_one_bad_one_of_several_is_found(gate: Night) -> None:
    """The first night takes all back; the second tries each alone, and holds the one."""
    gate.offer(ndppd="2", traceroute="2")
    gate.debian.harm["ndppd"] = NDPPD
    night.run(gate.made)
    assert (gate.debian.installed["ndppd"], gate.debian.installed["traceroute"]) == ("1", "1")
    known = book.history(gate.paths)
    assert known.suspects == {"ndppd": "2", "traceroute": "2"} and known.held == {}
    night.run(gate.made)
    assert (gate.debian.installed["ndppd"], gate.debian.installed["traceroute"]) == ("1", "2")
    known = book.history(gate.paths)
    assert known.suspects == {} and known.held == {"ndppd": "2"}


def test_a_newer_one_is_taken_and_ends_the_hold(gate: Night) -> None:
    test_a_bad_night_is_taken_back_and_held(gate)
    gate.debian.harm.clear()
    gate.offer(ndppd="3")
    night.run(gate.made)
    assert gate.debian.installed["ndppd"] == "3"
    assert book.history(gate.paths).held == {} and not gate.paths.update_held.exists()


def test_who_wants_it_again_gets_it(gate: Night) -> None:
    test_a_bad_night_is_taken_back_and_held(gate)
    night.retry(gate.made)
    gate.debian.harm.clear()
    night.run(gate.made)
    assert gate.debian.installed["ndppd"] == "2"


def test_what_cannot_be_installed_is_taken_back(gate: Night) -> None:
    gate.offer(traceroute="2")
    gate.debian.fails = "E: its postinst says no"
    night.run(gate.made)
    assert gate.debian.installed["traceroute"] == "1"
    assert "its postinst says no" in book.history(gate.paths).taken_back["why"]


def test_no_mirror_is_said_and_nothing_happens(gate: Night) -> None:
    gate.debian.online = False
    assert night.run(gate.made) == 1
    assert "Failed to fetch" in book.history(gate.paths).problem
    status = report.text(report.read(gate.made))
    assert "updates: not all could be looked for" in status and "Failed to fetch" in status
    gate.debian.online = True
    assert night.run(gate.made) == 0 and book.history(gate.paths).problem == ""


def test_one_mirror_is_away_and_the_others_updates_come(gate: Night) -> None:
    gate.offer(traceroute="2")
    gate.debian.online = False
    assert night.run(gate.made) == 1
    assert gate.debian.installed["traceroute"] == "2"


def test_what_cannot_be_fetched_changes_nothing(gate: Night) -> None:
    gate.offer(traceroute="2")
    gate.debian.unreachable = True
    with pytest.raises(ZtgateError, match="Unable to fetch"):
        night.run(gate.made)
    assert "Unable to fetch" in book.history(gate.paths).problem
    assert gate.debian.installed["traceroute"] == "1" and book.pending(gate.paths) is None


def test_a_line_that_is_dead_for_an_hour_is_waited_out(gate: Night) -> None:
    gate.offer(traceroute="2")
    gate.debian.state, gate.debian.pings = "waiting", lambda host: False
    gate.debian.links = gate.debian.links.replace(',"LOWER_UP"', "")
    store.write(gate.paths.status_now, store.read_bytes(gate.paths.status_now) or b"")

    def back() -> None:
        gate.debian.state = "ready"
        gate.debian._run_ztgate()

    gate.at(3600, back)
    night.run(gate.made)
    assert gate.debian.installed["traceroute"] == "2" and book.history(gate.paths).taken_back == {}
    assert gate.console.read_text().count("nothing is taken back for that") == 1


def kernel_offered(gate: Night) -> None:
    gate.debian.offers[f"linux-image-{NEW_KERNEL}"] = ("", "2")
    gate.offer(linux_image_cloud_amd64="2")


def harmful_kernel_started(gate: Night) -> None:
    """It is installed and booted, and found out: ndppd does not stay up with it."""
    kernel_offered(gate)
    night.run(gate.made)
    gate.debian.harm["linux-image-cloud-amd64"] = NDPPD
    gate.boot("", NEW_KERNEL)
    night.run(gate.made, only_check=True)


def test_a_good_kernel_is_kept(gate: Night) -> None:
    kernel_offered(gate)
    night.run(gate.made)
    assert gate.debian.reboots == 1 and gate.grub == "new"
    trial.say(gate.paths, trial.TRIED)  # as GRUB does
    gate.boot("", NEW_KERNEL)
    night.run(gate.made, only_check=True)
    assert (
        gate.debian.reboots == 1
        and gate.grub == ""
        and gate.debian.installed["linux-image-cloud-amd64"] == "2"
    )
    assert f"linux-image-{OLD_KERNEL}" in gate.debian.installed


def test_after_a_reboot_on_a_dead_line_nothing_is_missed(gate: Night) -> None:
    """What ztgate starts once it has found a way out does not run, and no update is to blame."""
    kernel_offered(gate)
    night.run(gate.made)
    trial.say(gate.paths, trial.TRIED)
    gate.boot("", NEW_KERNEL)
    gate.debian.idle = set(health.LED)
    gate.debian.state, gate.debian.pings = "waiting", lambda host: False
    gate.debian.links = gate.debian.links.replace(',"LOWER_UP"', "")
    seen: list[str] = []

    def back() -> None:
        seen.append(gate.grub)
        gate.debian.idle, gate.debian.state = set(), "ready"
        gate.debian._run_ztgate()

    gate.at(3600, back)
    night.run(gate.made, only_check=True)
    assert gate.debian.installed["linux-image-cloud-amd64"] == "2" and gate.debian.reboots == 1
    assert seen == ["new"], "a power cut meanwhile is another trial"


def test_a_kernel_that_does_not_start_is_taken_back(gate: Night) -> None:
    kernel_offered(gate)
    night.run(gate.made)
    trial.say(gate.paths, trial.TRIED)
    gate.boot(trial.FELL_BACK)
    night.run(gate.made, only_check=True)
    assert gate.debian.installed["linux-image-cloud-amd64"] == "1" and gate.grub == ""
    assert f"linux-image-{NEW_KERNEL}" not in gate.debian.installed
    assert book.history(gate.paths).taken_back["why"] == night.DID_NOT_START


def test_a_kernel_that_starts_and_harms_is_taken_back_from_the_old_one(gate: Night) -> None:
    harmful_kernel_started(gate)
    assert gate.debian.reboots == 2 and gate.grub == "tried"
    assert gate.debian.installed["linux-image-cloud-amd64"] == "2", "it runs"
    gate.boot(trial.FELL_BACK)
    night.run(gate.made, only_check=True)
    assert gate.debian.installed["linux-image-cloud-amd64"] == "1" and gate.grub == ""
    assert NDPPD in book.history(gate.paths).taken_back["why"]


def test_a_boot_loader_that_does_not_go_back_is_asked_once(gate: Night) -> None:
    """Rather a kernel that is no good than a machine that starts anew for ever."""
    harmful_kernel_started(gate)
    gate.boot("", NEW_KERNEL)
    night.run(gate.made, only_check=True)
    assert gate.debian.reboots == 2 and book.pending(gate.paths) is None
    assert f"linux-image-{NEW_KERNEL}" in gate.debian.installed, "it runs"


def test_without_a_boot_loader_that_tries_a_kernel_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Night(tmp_path, monkeypatch, grub=False)
    kernel_offered(gate)
    gate.offer(traceroute="2")
    night.run(gate.made)
    assert gate.debian.installed["traceroute"] == "2" and gate.debian.reboots == 0
    assert gate.debian.installed["linux-image-cloud-amd64"] == "1"
    assert book.history(gate.paths).waiting == ("linux-image-cloud-amd64 1 to 2",)


def test_taken_back_by_the_shell_is_known(gate: Night) -> None:
    """ztgate could not run; ztgate-update-undo.service has done it."""
    gate.offer(traceroute="2")
    gate.debian.cut_at = 10**9
    book.begin(gate.paths, night.begin(gate.made, packages.planned(gate.made)))
    gate.paths.update_undone.touch()
    night.run(gate.made, only_check=True)
    assert book.history(gate.paths).taken_back["why"] == night.UNDONE
    assert gate.debian.installed["traceroute"] == "1"


@pytest.mark.parametrize("harm", [False, True])
def test_the_power_fails_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: bool) -> None:
    """Before each tool in turn; the next boot brings it to an end, or nothing had begun."""
    cut, reached = 0, 0
    while True:
        gate = Night(tmp_path / str(cut), monkeypatch)
        gate.offer(ndppd="2")
        if harm:
            gate.debian.harm["ndppd"] = NDPPD
        gate.debian.cut_at = cut
        try:
            night.run(gate.made)
            break
        except PowerCut:
            gate.debian.cut_at = -1
            gate.boot("")
            begun = gate.paths.update_pending.exists()
            night.run(gate.made, only_check=True)
            expected = "2" if begun and not harm else "1"
            assert book.pending(gate.paths) is None and gate.grub == ""
            assert gate.debian.installed["ndppd"] in ({expected} if begun or harm else {"1", "2"}), cut
            reached += begun
        cut += 1
    assert cut > 20 and reached > 5


def test_by_hand_it_is_the_service_that_does_it(gate: Night) -> None:
    assert night.by_hand(gate.made) == 0
    assert night.SERVICE in gate.debian.running


def test_a_damaged_book_is_none(gate: Night) -> None:
    for content in (b"", b"{}", b"[1]", b'{"phase": "checking"}', b"\xff"):
        store.write(gate.paths.update_pending, content)
        assert book.pending(gate.paths) is None
    assert tools(gate.made).calls == []
