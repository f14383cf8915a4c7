"""The virtual world for the tests that boot the image. It runs one gateway at a time."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lab.machine import Machine
from lab.member import Member
from lab.retry import retry
from lab.world import World, echo_url
from tests.conftest import ROOT

Make = Callable[..., Machine]
WORK = ROOT / "out" / "tests" / "world"


@pytest.fixture(scope="module")
def world(image: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """ISP, internet, controller and members; gateways are added by the tests.

    A module with arm64 images is marked `standin`: these have the stand-in, whatever package is under test.
    """
    which = "standin_deb" if request.node.get_closest_marker("standin") else "zerotier_deb"
    with World(image, request.getfixturevalue(which), _fresh(WORK)) as world:
        yield world


def _fresh(work: Path) -> Path:
    """A directory of its own for this run; the last run's is left as evidence."""
    for number in range(1000):
        path = work.with_name(f"{work.name}-{number}")
        with suppress(FileExistsError):  # other tests run at the same time
            path.mkdir(parents=True)
            return path
    raise RuntimeError(f"remove {work.parent}")


@pytest.fixture
def make(world: World, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a gateway of the test's own, which is gone at its end."""
    made: list[Machine] = []

    def gateway(config: str | None, **options: Any) -> Machine:
        made.append(world.gateway(request.node.name, config, **options))
        return made[-1]

    yield gateway
    for machine in made:
        machine.close()


def joined(world: World, nwid: str) -> Member:
    """The phone, as a member whose way out leads through the gateway."""
    phone = world.member("phone")
    world.controller.authorize(nwid, phone.node.address)
    phone.join(nwid)
    phone.wait_tunnelled(nwid)
    return phone


def member_goes_out(world: World, nwid: str) -> None:
    """A new member reaches the internet through the gateway over both families, and leaves."""
    phone = joined(world, nwid)
    for family in (4, 6):
        retry(lambda f=family: phone.get(echo_url(f)), 60, f"IPv{family}")  # type: ignore[misc]
    phone.node.api("DELETE", f"/network/{nwid}")
