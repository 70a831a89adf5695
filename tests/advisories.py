"""`make audit`: which installed packages have known vulnerabilities, beside those that are accepted for a time.

    python tests/advisories.py PIP_AUDIT

PIP_AUDIT is the program of that name; it asks PyPI. The exit status is 0 if nothing is wrong, 1 for an advisory that is
not accepted or an acceptance that is no longer right, and 2 if packages could not be audited.
"""

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

ACCEPTED = Path(__file__).parents[1] / "accepted-advisories.toml"
_SECONDS = 600
_NAMES = 5


class AuditError(Exception):
    """Packages could not be audited, or the list of accepted advisories is malformed."""


@dataclass(frozen=True)
class Advisory:
    """A known vulnerability of an installed package.

    Attributes:
        package: Its canonical name.
        version: The installed version, without a local part.
        names: The id of the advisory and its aliases.
        fixed: Versions that mend it, oldest first; empty if there is none.
    """

    package: str
    version: str
    names: tuple[str, ...]
    fixed: tuple[str, ...]


@dataclass(frozen=True)
class Acceptance:
    """One entry of the list.

    Attributes:
        id: Id or alias of the advisory.
        package: Name of the package.
        date: When it was accepted.
        until: The last day on which it holds.
        reason: Why it may be.
    """

    id: str
    package: str
    date: dt.date
    until: dt.date
    reason: str

    def covers(self, advisory: Advisory) -> bool:
        """Whether it is about this advisory."""
        return self.id in advisory.names and canonicalize_name(self.package) == advisory.package


def read_accepted(path: Path) -> tuple[Acceptance, ...]:
    """The list of accepted advisories.

    Raises:
        AuditError: It is malformed.
    """
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise AuditError(f"{path.name} cannot be read: {error}") from error
    entries = content.pop("accepted", [])
    if content:
        raise AuditError(f"{path.name} has nothing but [[accepted]], not {', '.join(content)}")
    return tuple(_acceptance(entry, f"{path.name}: accepted[{place}]") for place, entry in enumerate(entries))


def _acceptance(entry: dict[str, Any], place: str) -> Acceptance:
    kinds = {field.name: field.type for field in fields(Acceptance)}
    if entry.keys() != kinds.keys():
        raise AuditError(f"{place} must have {', '.join(kinds)} and nothing else, not {', '.join(entry) or 'nothing'}")
    for name, kind in kinds.items():
        # A time is a date too, for isinstance.
        if type(entry[name]) is not kind or entry[name] == "":
            raise AuditError(f"{place}.{name} must be {'a date' if kind is dt.date else 'text'}, not {entry[name]!r}")
    acceptance = Acceptance(**entry)
    if acceptance.until < acceptance.date:
        raise AuditError(f"{place}.until is before its date")
    return acceptance


def wrong(advisories: Iterable[Advisory], accepted: Iterable[Acceptance], today: dt.date) -> Iterator[str]:
    """What is wrong, a line each: advisories without an acceptance, and acceptances that are expired or unused."""
    advisories, accepted = tuple(advisories), tuple(accepted)
    for advisory in advisories:
        if not any(each.covers(advisory) for each in accepted):
            remedy = f"fixed in {', '.join(advisory.fixed)}" if advisory.fixed else "no version mends it"
            yield f"{advisory.package} {advisory.version}: {', '.join(advisory.names)} ({remedy})"
    for each in accepted:
        if not any(each.covers(advisory) for advisory in advisories):
            yield f"{each.package}: {each.id} is accepted, but no installed version has it; take it off the list"
        elif each.until < today:
            yield f"{each.package}: the acceptance of {each.id} ended on {each.until}; update it or decide anew"


def pinned(installed: Iterable[Distribution]) -> list[str]:
    """Requirements for these packages as PyPI knows them: without local parts of versions, and without Whybox."""
    versions = {canonicalize_name(each.metadata["Name"]): Version(each.version).public for each in installed}
    return [f"{name}=={version}" for name, version in sorted(versions.items()) if name != "whybox"]


def read_report(report: dict[str, Any]) -> tuple[Advisory, ...]:
    """The advisories in a report of pip-audit.

    Raises:
        AuditError: PyPI told nothing about some packages.
    """
    packages = report["dependencies"]
    if unknown := [each["name"] for each in packages if "skip_reason" in each]:
        names = ", ".join(unknown[:_NAMES]) + (", ..." if len(unknown) > _NAMES else "")
        raise AuditError(
            f"{len(unknown)} of {len(packages)} packages could not be audited ({names}): PyPI's JSON API does not know"
            " them, or what this machine reaches in its place does not answer about vulnerabilities"
        )
    return tuple(
        Advisory(
            canonicalize_name(each["name"]),
            each["version"],
            (found["id"], *found["aliases"]),
            (*found["fix_versions"],),
        )
        for each in packages
        for found in each["vulns"]
    )


def audit(program: Path, requirements: list[str]) -> dict[str, Any]:
    """The report of pip-audit about pinned requirements.

    Raises:
        AuditError: It made none, as without a network.
    """
    with tempfile.TemporaryDirectory() as folder:
        listed, report = Path(folder) / "requirements.txt", Path(folder) / "report.json"
        listed.write_text("\n".join(requirements))
        command: list[str | Path] = [program, "--requirement", listed, "--no-deps", "--disable-pip"]
        command += ["--progress-spinner", "off", "--format", "json", "--output", report]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AuditError(f"pip-audit did not end: {error}") from error
        if not report.exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise AuditError(f"pip-audit made no report: {last}")
        content: dict[str, Any] = json.loads(report.read_text())
        return content


def main() -> int:
    """Audits the packages of this interpreter; see above for the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pip_audit", type=Path)
    requirements = pinned(distributions())
    try:
        accepted = read_accepted(ACCEPTED)
        advisories = read_report(audit(parser.parse_args().pip_audit, requirements))
    except AuditError as error:
        print(f"not audited: {error}", file=sys.stderr)  # noqa: T201
        return 2
    found = list(wrong(advisories, accepted, dt.datetime.now(dt.UTC).date()))
    for line in found:
        print(line, file=sys.stderr)  # noqa: T201
    told = f"{len(requirements)} packages, {len(advisories)} advisories, {len(accepted)} accepted, {len(found)} wrong"
    print(told)  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
