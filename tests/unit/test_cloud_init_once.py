"""When cloud-init has set up a machine for good: the script that notes it, with what cloud-init leaves."""

import json
import subprocess
from pathlib import Path

import pytest

OVERLAY = Path(__file__).resolve().parents[2] / "overlays/vps"
DONE = OVERLAY / "usr/libexec/ztgate-cloud-init-done"
NOTE = "var/lib/cloud/data/ztgate-machine"
USER_DATA = "instance/cloud-config.txt"

# What is there besides a first boot that went well, and whether later boots may do without cloud-init.
CASES: dict[str, tuple[str, list[str], dict[str, str], bool]] = {
    "a drive": ("NoCloud [seed=/dev/vdb]", [], {USER_DATA: "#cloud-config\nruncmd: [ls]\n"}, True),
    "a provider by network": ("Hetzner", [], {}, True),
    "something went wrong": ("NoCloud", ["('ssh', KeyError())"], {}, False),
    "a command for every boot": ("NoCloud", [], {USER_DATA: "#cloud-config\nbootcmd: [ls]\n"}, False),
    "from the provider": ("Vultr", [], {"instance/vendor-cloud-config.txt": "bootcmd: [ls]\n"}, False),
    "asked to look at every boot": ("NoCloud", [], {USER_DATA: "updates:\n  network: {}\n"}, False),
    "a script for every boot": ("NoCloud", [], {"scripts/per-boot/10-mine": "#!/bin/sh\n"}, False),
    "a boothook": ("NoCloud", [], {"instance/boothooks/part-001": "#!/bin/sh\n"}, False),
    "its network is written at every boot": ("Ec2", [], {}, False),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_noted_where_nothing_is_left_to_do(tmp_path: Path, case: str) -> None:
    source, errors, files, noted = CASES[case]
    for path in ("data", "instance", "scripts/per-boot"):
        (tmp_path / "var/lib/cloud" / path).mkdir(parents=True)
    result = {"v1": {"datasource": f"DataSource{source}", "errors": errors}}
    text = json.dumps(result, indent=1)  # as cloudinit.atomic_helper.write_json does
    for name, content in {"data/result.json": text, **files}.items():
        file = tmp_path / "var/lib/cloud" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    seen = tmp_path / "run/cloud-init/ztgate-machine"
    seen.parent.mkdir(parents=True)
    seen.write_text("this one\n")
    done = subprocess.run([str(DONE), str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / NOTE).exists() == noted
    if noted:
        assert (tmp_path / NOTE).read_text() == "this one\n"
        assert [
            path.name for path in (tmp_path / "var/lib/cloud/data").iterdir() if path.name[0] == "."
        ] == []
