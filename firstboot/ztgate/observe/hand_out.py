"""What the page hands out: the member kit, and the code that phones scan.

It is made when somebody looks at the page, and not by `ztgate apply`: templates and codes take 350 million
instructions to load, which no boot should wait for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from .. import configfile, state, store
from ..config import Config
from ..errors import ZtgateError
from ..machine import Machine
from ..page import facts as page
from . import gather

REVISION = "revision"  # of the files that are handed out, in the page's folder
# What ZeroTier's apps for phones scan, and what its website makes of a network's id.
JOIN = "https://joinzt.com/addnetwork?nwid={network}&v=1"


def write(machine: Machine) -> None:
    """Bring the files in the page's folder up to date; without a configuration or an address, none."""
    try:
        config = configfile.find(machine.paths).config
    except ZtgateError:
        return
    url = gather.page_of(state.load(machine.paths).address)
    folder = machine.paths.page_dir
    if not url or store.read_text(folder / REVISION) == _revision(config, url):
        return
    for name, content in files(config, url).items():
        store.write(folder / name, content)


def files(config: Config, url: str) -> dict[str, bytes]:
    """What is handed out, by its place in the page's folder, and at last what all of it was made of."""
    import segno  # slow to import, and seldom needed

    from .. import kit

    values = kit.kit(config, url)
    code = segno.make(JOIN.format(network=config.network), error="m")
    return {
        **{f"{page.KIT}/{name}": kit.render(name, values).encode() for name in kit.FILES},
        page.QR: code.svg_inline(scale=4, border=2, omitsize=True).encode(),
        REVISION: _revision(config, url).encode(),
    }


def _revision(config: Config, url: str) -> str:
    """Stands for all that the files are made of: comparing it takes no rendering."""
    package = Path(__file__).parent.parent / "kit"
    sources = b"".join(
        path.read_bytes() for path in sorted(package.rglob("*")) if path.is_file() and path.suffix != ".pyc"
    )
    values = f"{config.network} {config.gateway.name} {config.members} {url}".encode()
    return hashlib.sha256(values + sources).hexdigest()[:12]
