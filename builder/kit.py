"""The member kit as files: what the owner sends to whom, rendered by the appliance's own package."""

from __future__ import annotations

import sys
from pathlib import Path

from builder.errors import BuildError
from builder.files import replacing

# As gateway.yaml has one reader, the kit has one writer: the gateway's own page hands out the same files.
from builder.gateway_config import FIRSTBOOT, LIMIT, contents

if str(FIRSTBOOT) not in sys.path:
    sys.path.insert(0, str(FIRSTBOOT))

from ztgate import config as ztgate_config
from ztgate import kit
from ztgate.errors import ZtgateError

README = "README.txt"
# What to do with each file; a file that has no line here is named all the same.
FOR = {
    "join.sh": "Linux:    sudo sh join.sh            (--help says more; --leave undoes it)",
    "join-macos.sh": "macOS:    sudo sh join-macos.sh",
    "join.ps1": "Windows:  powershell -ExecutionPolicy Bypass -File join.ps1     (as administrator)",
    "openwrt.sh": "OpenWrt:  sh openwrt.sh              (on the router, for everybody behind it)",
    "phones.txt": "iPhone, iPad and Android: the steps in phones.txt",
}


def write(config: Path, out: Path) -> list[Path]:
    """Every file of the kit for a gateway.yaml; one that is there with other content is not replaced."""
    try:  # without the token: nobody needs it here
        values = kit.kit(ztgate_config.load(contents(config, LIMIT), config.name))
    except ZtgateError as e:
        raise BuildError(e.message, e.hint) from None
    files = {name: kit.render(name, values) for name in kit.FILES}
    files[README] = _readme(values)
    differs = [out / name for name, text in files.items() if _differs(out / name, text)]
    if differs:
        raise BuildError(
            f"{differs[0]} is there, and is not what {config} gives", "remove it, or give another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        script = Path(name).suffix in (".sh", ".ps1")
        with replacing(out / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8", newline="")
            unfinished.chmod(0o755 if script else 0o644)
    return [out / name for name in files]


def _differs(path: Path, text: str) -> bool:
    return path.exists() and path.read_bytes() != text.encode()


def _readme(values: kit.Kit) -> str:
    lines = [FOR.get(name, name) for name in kit.FILES]
    return "\n".join(
        [
            f"For everybody who is to go out through the gateway {values.gateway}: send each the file for",
            "their device. None of them holds a secret. Each needs ZeroTier: https://www.zerotier.com/download/",
            "",
            *(f"  {line}" for line in lines),
            "",
            "Each joins the network and tells its node id, ten letters and digits. Let that one in at your",
            f"controller (network {values.network}, its members), and the script goes on by itself and looks",
            "whether it works. Who cannot say the node id has not got that far.",
            "",
        ]
    )
