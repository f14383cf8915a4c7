"""What systemd itself says of the units that are closed in."""

import subprocess
from pathlib import Path

UNITS = Path(__file__).resolve().parents[2] / "overlays/common/usr/lib/systemd/system"
MOST = 3.0  # of 10, by systemd-analyze's count


def test_the_pages_server_has_no_way_out() -> None:
    unit = UNITS / "ztgate-page.service"
    words = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(words, capture_output=True, text=True)
    score = done.stdout.split("exposure level for ztgate-page.service:")[1].split()[0]
    assert float(score) <= MOST, done.stdout
    text = unit.read_text()
    assert "DynamicUser=yes" in text and "PrivateNetwork=yes" in text
    assert "/run/ztgate/page:" in text, "the one folder that it may see"
