"""The validators refuse what is no SPDX and no CycloneDX; whole bills are made in the image's tier."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from builder import sbom
from builder.dpkg import merged
from builder.errors import BuildError

SPDX: dict[str, Any] = {
    "spdxVersion": "SPDX-2.3",
    "dataLicense": "CC0-1.0",
    "SPDXID": "SPDXRef-DOCUMENT",
    "name": "x",
    "documentNamespace": "https://ztgate.invalid/spdx/x",
    "creationInfo": {"created": "2026-11-01T00:00:00Z", "creators": ["Tool: x"]},
    "packages": [{"name": "x", "SPDXID": "SPDXRef-x", "downloadLocation": "NONE", "filesAnalyzed": False}],
    "relationships": [
        {
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relatedSpdxElement": "SPDXRef-x",
            "relationshipType": "DESCRIBES",
        }
    ],
}  # fmt: skip
CYCLONEDX: dict[str, Any] = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}


def spoiled_spdx(spdx: dict[str, Any], _: dict[str, Any]) -> None:
    spdx["packages"][0]["SPDXID"] = spdx["relationships"][0]["relatedSpdxElement"] = "no id"


def spoiled_cyclonedx(_: dict[str, Any], cyclonedx: dict[str, Any]) -> None:
    cyclonedx["components"] = [{"name": "without a type"}]


def test_what_is_valid_passes() -> None:
    bills = {sbom.SPDX: json.dumps(SPDX), sbom.CYCLONEDX: json.dumps(CYCLONEDX)}
    assert sbom.validate(bills) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(spoiled_spdx, "spdx_id must only contain"), (spoiled_cyclonedx, "'type' is a required")],
)
def test_what_is_not_is_refused(spoil: Callable[..., None], said: str) -> None:
    spdx, cyclonedx = copy.deepcopy(SPDX), copy.deepcopy(CYCLONEDX)
    spoil(spdx, cyclonedx)
    with pytest.raises(BuildError, match=said):
        sbom.validate({sbom.SPDX: json.dumps(spdx), sbom.CYCLONEDX: json.dumps(cyclonedx)})


# what a package's list says, and the file that is meant
LISTED = [
    ("/bin/ls", "usr/bin/ls"),
    ("/usr/bin/ls", "usr/bin/ls"),
    ("/lib64/x", "usr/lib64/x"),
    ("/etc/x", "etc/x"),
]


@pytest.mark.parametrize(("line", "path"), LISTED)
def test_packages_may_list_files_without_usr(line: str, path: str) -> None:
    assert merged(line) == path
