"""Wi-Fi: what wpa_supplicant is told, where that comes from, and what is said when it does not work."""

import re
from pathlib import Path

import pytest
from ztgate import config, reconcile, service
from ztgate.actions import Command, WriteFile
from ztgate.config import Wifi
from ztgate.errors import WaitingError, ZtgateError
from ztgate.facts import wan
from ztgate.facts import wifi as facts
from ztgate.paths import Paths
from ztgate.secret import Secret
from ztgate.steps import wifi

from .support import GOOD, FakeController, found, machine

PATHS = Paths(Path("/r"))
KEY = "0123456789abcdef" * 4
ATTIC = 'wifi: {ssid: attic, password: "correct horse", country: de}\n'
WIZARD = f"""\
network:
  version: 2
  ethernets:
    eth0:
      dhcp4: true
  wifis:
    wlan0:
      dhcp4: true
      regulatory-domain: "GB"
      access-points:
        "caf\\xc3\\xa9":
          hidden: true
          password: "{KEY}"
      optional: true
"""


def adapter(paths: Paths, name: str = "wlan0") -> None:
    (paths.interfaces / name / "phy80211").mkdir(parents=True)


def lines(*networks: Wifi) -> list[str]:
    return [line.strip() for line in wifi.render(networks, PATHS).splitlines()]


@pytest.mark.parametrize(
    ("network", "wanted"),
    [
        (
            Wifi(b"attic", Secret("correct horse"), "DE", False),
            ["country=DE", 'psk="correct horse"', "ieee80211w=1"],
        ),
        (Wifi(b"attic", Secret('a "quoted" one'), "DE", False), ['psk="a "quoted" one"']),
        (Wifi(b"attic", Secret(KEY), "DE", False), [f"psk={KEY}", "key_mgmt=WPA-PSK"]),
        (Wifi(b"attic", None, "DE", False), ["key_mgmt=NONE", "scan_ssid=0"]),
        (Wifi(b'}\n"', None, "", True), ["ssid=7d0a22", "scan_ssid=1"]),
    ],
)
def test_wpa_supplicant_is_told(network: Wifi, wanted: list[str]) -> None:
    assert set(wanted) <= set(lines(network))


def test_a_key_cannot_do_wpa3() -> None:
    assert "SAE" not in " ".join(lines(Wifi(b"attic", Secret(KEY), "DE", False)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wifi: {ssid: attic, password: short, country: DE}", "the value is not a WPA passphrase"),
        (f"wifi: {{ssid: {'x' * 33}, country: DE}}", "is not a network name: 1 to 32 bytes"),
        ("wifi: {ssid: attic, password: long enough}", "wifi.country: is missing"),
        ("wifi: {password: long enough, country: DE}", "wifi.ssid: is missing"),
        ("wifi: {ssid: attic, country: Germany}", "`Germany` is not a country code of two letters"),
        ("wifi: {sid: attic}", "did you mean `ssid`?"),
    ],
)
def test_mistakes_are_named(text: str, words: str) -> None:
    with pytest.raises(ZtgateError, match=re.escape(words)) as error:
        config.load(GOOD + text, "g")
    assert "g:4: wifi" in error.value.message


def test_norway_is_a_country() -> None:
    read = config.load(GOOD + "wifi: {ssid: 0123, country: no}\n", "g").wifi
    assert read == Wifi(b"0123", None, "NO", False)


def test_a_password_is_not_shown() -> None:
    assert "correct horse" not in repr(config.load(GOOD + ATTIC, "g"))


def test_what_imagers_wizard_wrote_is_taken(tmp_path: Path) -> None:
    """As its src/customization_generator.cpp writes it: a key instead of the passphrase, a byte as \\xHH."""
    paths = Paths(tmp_path)
    paths.fat.mkdir(parents=True)
    paths.network_config.write_text(WIZARD)
    assert facts.of_wizard(paths) == (Wifi("café".encode(), Secret(KEY), "GB", True),)
    assert wifi.wanted(Wifi(b"attic", None, "DE", False), paths) == wifi.render(
        (Wifi(b"attic", None, "DE", False),), paths
    ), "gateway.yaml comes first"


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("", ()),
        ("network: {wifis: {wlan0: {access-points: {home: null}}}}", (Wifi(b"home", None, "", False),)),
        (
            "wifis: {wlan0: {access-points: {café: {auth: {password: 12345678}}}}}",
            (Wifi("café".encode(), Secret("12345678"), "", False),),
        ),
        ("network: {ethernets: {eth0: {dhcp4: true}}}", ()),
        ("network: [", ()),
        ("network: 7", ()),
        ("network: {wifis: [wlan0]}", ()),
    ],
)
def test_other_files_of_that_format(tmp_path: Path, text: str, networks: tuple[Wifi, ...]) -> None:
    paths = Paths(tmp_path)
    paths.fat.mkdir(parents=True)
    paths.network_config.write_text(text)
    assert facts.of_wizard(paths) == networks


LISTED = "network id / ssid / bssid / flags\n0\tattic\tany\t"


@pytest.mark.parametrize(
    ("status", "networks", "words"),
    [
        ("wpa_state=COMPLETED\nssid=attic\n", f"{LISTED}[CURRENT]\n", "connected to attic"),
        ("wpa_state=SCANNING\n", f"{LISTED}\n", "attic is not to be heard here"),
        ("wpa_state=SCANNING\n", f"{LISTED}[TEMP-DISABLED]\n", "attic refuses us: is wifi.password right?"),
        ("wpa_state=4WAY_HANDSHAKE\n", f"{LISTED}[CURRENT]\n", "connecting to attic"),
        ("wpa_state=INTERFACE_DISABLED\n", f"{LISTED}\n", "switched off"),
        ("Failed to connect to non-global ctrl_ifname: wlan0\n", "", "not running yet"),
    ],
)
def test_what_it_is_doing(status: str, networks: str, words: str) -> None:
    assert words in facts.state(status, networks)


def row(name: str, *flags: str) -> dict[str, object]:
    return {"ifname": name, "link_type": "ether", "flags": list(flags), "addr_info": []}


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ([row("eth0"), row("wlan0")], "no link on eth0: is the cable plugged in?; wlan0: refuses us"),
        ([row("wlan0")], "wlan0: refuses us"),
        ([row("eth0"), row("wlan0", "LOWER_UP")], "no IPv4 address yet on wlan0"),
    ],
)
def test_no_way_out_says_what_wifi_is_doing(links: list[dict[str, object]], words: str) -> None:
    with pytest.raises(WaitingError, match=re.escape(words)):
        wan.parse(links, [], [], lambda: {"wlan0": "refuses us"})


def test_without_a_configuration_the_adapter_says_so(tmp_path: Path) -> None:
    made = machine(tmp_path)
    adapter(made.paths)
    assert "no Wi-Fi is configured" in facts.states(made.probe, made.paths)["wlan0"]


def test_the_unit_is_given_its_configuration(tmp_path: Path) -> None:
    made = machine(tmp_path, text=GOOD + ATTIC)
    assert service.wifi(made, "wlan0") == 0
    written = made.paths.wifi("wlan0")
    assert written.stat().st_mode & 0o777 == 0o600
    assert 'psk="correct horse"' in written.read_text()


def test_without_wifi_the_unit_is_not_started(tmp_path: Path) -> None:
    assert service.wifi(machine(tmp_path), "wlan0") == 1
    assert service.wifi(machine(tmp_path, text=""), "wlan0") == 1


def test_a_changed_network_is_joined_and_a_removed_one_left(tmp_path: Path) -> None:
    made = machine(tmp_path, text=GOOD + ATTIC)
    adapter(made.paths)

    def step() -> None:
        wifi.run(made, found(made).config.wifi)

    step()
    write, restart = made.performed
    assert isinstance(write, WriteFile) and isinstance(restart, Command)
    assert str(restart).endswith("restart ztgate-wifi@wlan0.service")
    step()
    assert len(made.performed) == 2, "a second run plans nothing"
    made.paths.fat_config.write_text(GOOD)
    step()
    assert str(made.performed[-1]).endswith("stop ztgate-wifi@wlan0.service")
    assert made.paths.wifi("wlan0").read_bytes() == b""


def test_an_image_without_an_adapter_warns(tmp_path: Path, controller: FakeController) -> None:
    made = machine(tmp_path, controller, text=GOOD + ATTIC)
    outcome = reconcile.reconcile(made, found(made))
    assert any("no wireless adapter" in warning for warning in outcome.warnings)
