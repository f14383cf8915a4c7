"""The member kit: every file of it renders with every value in its place."""

from dataclasses import replace

import pytest
from ztgate import config, kit

NETWORK = "8056c2e21c000001"


@pytest.mark.parametrize("name", kit.FILES)
@pytest.mark.parametrize("page", ["", "http://10.66.0.1/"])
def test_each_file_names_the_network(name: str, page: str) -> None:
    values = kit.kit(config.load(f"network: {NETWORK}\n", "gateway.yaml"), page)
    text = kit.render(name, values)
    assert NETWORK in text
    assert page in text
    assert text != kit.render(name, replace(values, network="8056c2e21c000002"))


def test_every_template_is_handed_out() -> None:
    assert {path.name.removesuffix(".j2") for path in kit.TEMPLATES.glob("*.j2")} == set(kit.FILES)
