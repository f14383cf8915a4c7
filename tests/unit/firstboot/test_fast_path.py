"""What of the firewall hangs on interfaces: loaded when they are there, and again when they come back."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ztgate import config, firewall
from ztgate.firewall import Situation
from ztgate.machine import Machine
from ztgate.owners import Elements
from ztgate.paths import Paths
from ztgate.steps import fast_path

CONFIG = config.load("network: 116be780b4870839\n", "test")
SITUATION = Situation("ztx", "ens3", "ens3", ("10.66.0.0/24",), "2600:db8:0:1:ff::/80")
OWNERS: Elements = {"own4": {"10.66.0.1"}, "own6": set(), "owner4": {"10.66.0.7 . aa"}, "owner6": set()}
VALUES = fast_path.inputs(CONFIG, SITUATION, flowtables=True)


def listing(
    devices: Any,
    *chains: str,
    owner4: tuple[str, ...] | None = ("10.66.0.7 . aa",),
    values: dict[str, Any] = VALUES,
) -> str:
    """What `nft -j list table` prints, as far as it is read; without owners it has no sets for them."""
    rev = f"rev_{firewall.revision(values, firewall.FAST_PATH)}"
    items: list[dict[str, Any]] = [{"metainfo": {}}, *({"chain": {"name": name}} for name in (rev, *chains))]
    if values["flowtables"]:
        items.append({"flowtable": {"name": "established", **({"dev": devices} if devices else {})}})
    if owner4 is not None:
        rows = [{"concat": each.split(" . ")} for each in owner4]
        items += [{"set": {"name": "owner4", "elem": rows}}, {"set": {"name": "owner6"}}]
    return json.dumps({"nftables": items})


class Nft:
    """nft, on a kernel that has flowtables or not; what it was given to load."""

    def __init__(self, listed: str = "", able: bool = True, works: bool = True) -> None:
        self.listed, self.able, self.works = listed, able, works
        self.given = ""

    def __call__(self, argv: Sequence[str], *, stdin: str | None = None, **_: Any) -> tuple[int, str]:
        if tuple(argv) == fast_path.LOOK:
            return (0, self.listed) if self.listed else (1, "Error: No such file or directory")
        if tuple(argv) == fast_path.TRY:
            return int(not self.able), ""
        assert tuple(argv) == ("nft", "-f", "-")
        self.given += stdin or ""
        return (0, "") if self.works else (1, "Error: No such file or directory")


def run(nft: Nft, situation: Situation = SITUATION) -> None:
    fast_path.run(Machine(Paths(Path("/nowhere")), probe=nft), CONFIG, situation, OWNERS)


def given(listed: str, situation: Situation = SITUATION) -> str:
    """What nft is given to load where it lists this."""
    nft = Nft(listed)
    run(nft, situation)
    return nft.given


def test_it_is_loaded_with_those_who_are_known() -> None:
    text = given("")
    assert "devices = { ens3, ztx }" in text and 'hook ingress device "ztx"' in text
    assert "elements = { 10.66.0.7 . aa }" in text


@pytest.mark.parametrize(
    ("devices", "chains"),
    [
        pytest.param(["ens3"], (), id="ZeroTier's interface is gone"),
        pytest.param("ens3", ("ingress",), id="one device is no list"),
        pytest.param([], ("ingress",), id="both are gone"),
        pytest.param(["ens3", "ztx"], (), id="its chain is gone"),
    ],
)
def test_what_went_with_an_interface_comes_back(devices: Any, chains: tuple[str, ...]) -> None:
    assert "flowtable established" in given(listing(devices, *chains))


def test_what_is_there_is_left_and_owners_come_and_go() -> None:
    there = ["ztx", "ens3"]  # the kernel's order
    assert given(listing(sorted(there), "ingress")) == ""
    assert given(listing(there, "ingress", owner4=("10.66.0.9 . bb",))).splitlines() == [
        "delete element inet ztgate_fast owner4 { 10.66.0.9 . bb }",
        "add element inet ztgate_fast owner4 { 10.66.0.7 . aa }",
    ]


def test_another_situation_is_another_revision() -> None:
    other = Situation("ztx", "ens3", "ens3", ("10.9.0.0/24",))
    assert "10.9.0.0/24" in given(listing(["ens3", "ztx"], "ingress"), other)


def test_a_kernel_without_flowtables_counts_all_the_same() -> None:
    nft = Nft(able=False)
    run(nft)
    assert "flowtable" not in nft.given and "owner4" not in nft.given
    assert "@sent4" in nft.given and "@received6" in nft.given
    values = fast_path.inputs(CONFIG, SITUATION, flowtables=False)
    assert given(listing([], "ingress", owner4=None, values=values)) == "", "and is not asked again"


def test_without_both_sides_of_a_way_there_is_nothing() -> None:
    nft = Nft()
    run(nft, Situation("ztx"))
    assert nft.given == ""


def test_where_it_cannot_be_loaded_members_are_served(caplog: pytest.LogCaptureFixture) -> None:
    run(Nft(works=False))
    (said,) = caplog.messages
    assert "not as fast as could be" in said and "No such file" in said
