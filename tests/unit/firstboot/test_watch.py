"""ztgate-watch's judgement, apart from its loop (which tests/netns/test_watch.py runs)."""

import subprocess
from pathlib import Path

WATCH = Path(__file__).parents[3] / "overlays/common/usr/libexec/ztgate-watch"
# Everything in it before it begins to listen, with ZeroTier's service silent.
SILENT = """\
running() {{ return 0; }}
answers() {{ return {status}; }}
systemctl() {{ echo "$@"; }}
clock() {{ now=$uptime; }}
uptime=1000
zerotier
{later}
zerotier
"""
KILLED = "zerotier-one does not answer\nkill --signal=KILL zerotier-one\n"


def judged(status: int, later: str) -> str:
    functions = WATCH.read_text().split("# The kernel is listened to")[0]
    script = functions + SILENT.format(status=status, later=later)
    done = subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


def test_a_service_that_hangs_is_killed() -> None:
    assert judged(124, "uptime=1011") == ""
    assert judged(124, "uptime=1012") == KILLED


def test_one_that_starts_has_more_time() -> None:
    assert judged(1, "uptime=1089") == ""
    assert judged(1, "uptime=1090") == KILLED


def test_a_clock_that_is_set_kills_nobody() -> None:
    """As on a board without one, when it hears from NTP while ZeroTier starts."""
    assert judged(124, "SECONDS=1000000") == ""
