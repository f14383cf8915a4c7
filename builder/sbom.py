"""SBOMs of an image, SPDX and CycloneDX: by debsbom, and with the files that no package owns.

What is in them comes from the image alone; only the checksum of ZeroTier's package is the manifest's.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import logging
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from debsbom.bomwriter import BomWriter
from debsbom.generate.generate import Debsbom
from debsbom.sbom import SBOMType
from debsbom.util.checksum import ChecksumAlgo
from spdx_tools.spdx.model.checksum import Checksum, ChecksumAlgorithm
from spdx_tools.spdx.model.document import Document
from spdx_tools.spdx.model.file import File as SpdxFile
from spdx_tools.spdx.model.relationship import Relationship, RelationshipType
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from builder.contents import Disk
from builder.debugfs import File
from builder.dpkg import merged
from builder.errors import BuildError

PACKAGE = "zerotier-one"
SPDX, CYCLONEDX = ".spdx.json", ".cdx.json"  # how the files end
LISTS = ("var/lib/dpkg/info/", ".list")
# What dpkg and apt know, which debsbom reads.
DATABASE = ("var/lib/dpkg/status", "var/lib/dpkg/arch-native", "var/lib/apt/extended_states")
OURS = "usr/lib/ztgate/"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://ztgate.invalid/sbom")


@dataclass(frozen=True)
class Subject:
    """The image that a bill is about."""

    name: str
    version: str
    sha256: str
    epoch: int
    zerotier_sha256: str = ""

    @property
    def time(self) -> datetime.datetime:
        """When it was made, by its definition."""
        return datetime.datetime.fromtimestamp(self.epoch, datetime.UTC)

    @property
    def serial(self) -> uuid.UUID:
        """A bill's own identifier: the same for the same image."""
        return uuid.uuid5(NAMESPACE, self.sha256)


@dataclass(frozen=True)
class Loose:
    """A file that no package owns: an overlay's, firstboot's, or one that was made while the image was."""

    path: str
    sha1: str
    sha256: str

    @property
    def reference(self) -> str:
        """A name for it in both formats."""
        return f"file-{hashlib.sha256(self.path.encode()).hexdigest()[:16]}"


def make(disk: Disk, subject: Subject) -> dict[str, str]:
    """Both bills, as JSON by the suffix of their files."""
    logging.getLogger("debsbom").setLevel(logging.ERROR)
    files = disk.files()
    loose = sorted(loose_files(disk, files), key=lambda file: file.path)
    with tempfile.TemporaryDirectory() as root:
        for path, data in disk.read({path: files[path] for path in DATABASE if path in files}):
            place = Path(root, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        scanned = _scan(Path(root), subject)
        return {SPDX: _spdx(scanned, subject, loose), CYCLONEDX: _cyclonedx(scanned, loose)}


def loose_files(disk: Disk, files: dict[str, File]) -> Iterator[Loose]:
    """Regular files of the root that no package owns, and their checksums."""
    lists = {p: f for p, f in files.items() if p.startswith(LISTS[0]) and p.endswith(LISTS[1])}
    owned = {merged(line) for _, text in disk.read(lists) for line in text.decode().splitlines()}
    wanted = {p: f for p, f in files.items() if f.regular and p not in owned and _counts(p)}
    for path, data in disk.read(wanted):
        yield Loose(path, hashlib.sha1(data).hexdigest(), hashlib.sha256(data).hexdigest())


def _counts(path: str) -> bool:
    """dpkg's own notes do not, nor do byte-codes that a package's programs were compiled to."""
    return not path.startswith("var/lib/dpkg/") and (not path.endswith(".pyc") or path.startswith(OURS))


def _scan(root: Path, subject: Subject) -> Debsbom:
    scanned = Debsbom(
        distro_name=subject.name,
        root=root,
        distro_supplier="ztgate",
        distro_version=subject.version,
        distro_summary="Exit gateway of a ZeroTier network",
        spdx_namespace=urlparse(f"https://ztgate.invalid/spdx/{subject.serial}"),
        cdx_serialnumber=subject.serial,
        timestamp=subject.time,
    )
    scanned.scan()
    for package in scanned.packages:
        if package.name == PACKAGE:  # it is not Debian's
            package.purl = functools.partial(_purl, package.purl)
            if package.is_binary() and subject.zerotier_sha256:
                package.checksums[ChecksumAlgo.SHA256SUM] = subject.zerotier_sha256
    return scanned


def _purl(original: functools.partial[object], vendor: str = "") -> object:
    return original("zerotier")


def _spdx(scanned: Debsbom, subject: Subject, loose: list[Loose]) -> str:
    document: Document = scanned.generate(SBOMType.SPDX)
    for file in loose:
        reference = f"SPDXRef-{file.reference}"
        checksums = [
            Checksum(ChecksumAlgorithm.SHA1, file.sha1),
            Checksum(ChecksumAlgorithm.SHA256, file.sha256),
        ]
        document.files.append(SpdxFile(f"./{file.path}", reference, checksums))
        document.relationships.append(Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, reference))
    # debsbom keeps packages in sets, whose order is another one each time.
    document.packages.sort(key=lambda package: package.spdx_id)
    document.relationships.sort(
        key=lambda r: (r.spdx_element_id, r.relationship_type.name, str(r.related_spdx_element_id))
    )
    return _written(SBOMType.SPDX, document)


def _cyclonedx(scanned: Debsbom, loose: list[Loose]) -> str:
    bom: Bom = scanned.generate(SBOMType.CycloneDX)
    for file in loose:
        bom.components.add(
            Component(
                type=ComponentType.FILE,
                name=f"/{file.path}",
                bom_ref=f"CDXRef-{file.reference}",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)],
            )
        )
    return f"{JsonV1Dot6(bom).output_as_string(indent=2)}\n"


def validate(bills: Mapping[str, str]) -> None:
    """Have both checked by the validators of their formats; takes longer than to make them.

    Raises:
        BuildError: one is not valid.
    """
    parser = JsonLikeDictParser()  # type: ignore[no-untyped-call]
    document = parser.parse(json.loads(bills[SPDX]))
    wrong = [message.validation_message for message in validate_full_spdx_document(document)]
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(bills[CYCLONEDX]):
        wrong.append(str(error))
    if wrong:
        raise BuildError(f"an SBOM is not valid: {wrong[0]}", "tell us about it")


def _written(kind: SBOMType, document: object) -> str:
    with tempfile.NamedTemporaryFile("r") as file:
        BomWriter.create(kind).write_to_file(document, Path(file.name), validate=False)
        return file.read() + "\n"
