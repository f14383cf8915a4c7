"""An access point in the gateway's own machine: the kernel's simulated radios, and hostapd in a namespace.

wlan0 ))) ((( wlan1 ─ repeater ─ eth1 ─┐
                                       ├─ the ISP
                           eth0 ───────┘
"""

import tarfile
from pathlib import Path

from builder import debian
from lab.machine import Shell
from lab.retry import NotYet
from tests import repeater

NAME, PASSWORD = "attic", "correct horse battery"
PROGRAM = "usr/sbin/hostapd"
SETTINGS = """\
interface=wlan1
ssid={name}
channel=6
hw_mode=g
wpa=2
wpa_key_mgmt=WPA-PSK
rsn_pairwise=CCMP
wpa_passphrase={password}
"""
# The second radio is the access point's: the gateway is not to use it.
COMMANDS = """\
set -e
chmod +x /usr/local/sbin/hostapd
systemctl mask --quiet --runtime ztgate-wifi@wlan1.service
modprobe mac80211_hwsim radios=2
ip netns add ap
iw phy phy1 set netns name ap
ip link set eth1 netns ap
ip -n ap link set eth1 up
ip netns exec ap /usr/local/sbin/hostapd -B -t -f /run/hostapd.log /run/hostapd.conf
ip netns exec ap setsid --fork python3 /run/repeater.py eth1 wlan1 > /run/repeater.log 2>&1
"""


def download(work: Path) -> Path:
    """Debian's hostapd for arm64: the program alone, as its libraries are wpa_supplicant's."""
    work.mkdir(parents=True, exist_ok=True)
    tree, target = work / "tree-hostapd.tar", work / "hostapd"
    options = ["--variant=extract", "--architectures=arm64", "--include=hostapd"]
    try:
        debian.mmdebstrap(options, suite="trixie", target=tree, mirror="", epoch=0, line=lambda _: None)
        with tarfile.open(tree) as archive:
            content = archive.extractfile(f"./{PROGRAM}")
            assert content is not None
            target.write_bytes(content.read())
    finally:
        tree.unlink(missing_ok=True)
    return target


def address(shell: Shell) -> str:
    """The gateway's IPv4 address on its wireless side.

    Raises:
        NotYet: it has none.
    """
    words = shell.run("ip -4 -o address show dev wlan0").split()
    if "inet" not in words:
        raise NotYet("wlan0 has no address")
    return words[words.index("inet") + 1].split("/")[0]


def start(shell: Shell, program: Path, work: Path) -> None:
    """Switch it on in the machine behind `shell`, which has a second network card."""
    settings = work / "hostapd.conf"
    settings.write_text(SETTINGS.format(name=NAME, password=PASSWORD))
    shell.put(program, "/usr/local/sbin/hostapd")
    shell.put(settings, "/run/hostapd.conf")
    shell.put(Path(repeater.__file__), "/run/repeater.py")
    shell.run(COMMANDS)
