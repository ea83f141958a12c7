"""Known vulnerabilities of the locked releases: python -m tools.advisories [--refresh].

`advisories.json` holds what PyPI's advisory data, the source of pip-audit too, said of each release
in `requirements/`, and on which day. Comparing the two needs no network; `--refresh` asks again.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from tools.lock import releases

ROOT = Path(__file__).resolve().parent.parent
PYPI = "https://pypi.org/pypi"
SIMULTANEOUS = 8
SECONDS = 30.0


@dataclass
class Record:
    """Holds what is known of the locked releases."""

    day: str = ""
    """When PyPI was asked, ISO 8601, UTC."""
    found: dict[str, list[str]] = field(default_factory=dict)
    """The ids of the vulnerabilities of each release, as `name==version`."""
    unanswered: list[str] = field(default_factory=list)
    """Releases that the index knows nothing of."""
    accepted: dict[str, str] = field(default_factory=dict)
    """Why a vulnerability does not concern this project, by its id. Written by hand."""


def locked(root: Path) -> list[str]:
    """Returns the releases in all locks of `requirements/`, as `name==version`."""
    return sorted(
        {one for lock in (root / "requirements").glob("*.lock") for one in releases(lock)}
    )


def load(root: Path) -> Record:
    """Reads the record of the repository at `root`."""
    return Record(**json.loads((root / "advisories.json").read_bytes()))


def save(root: Path, record: Record) -> None:
    """Writes the record of the repository at `root`."""
    text = json.dumps(asdict(record), indent=1, sort_keys=True)
    (root / "advisories.json").write_text(f"{text}\n")


def problems(wanted: Sequence[str], record: Record) -> list[str]:
    """Returns why releases must not be used: never looked up, or known to be vulnerable."""
    unknown = set(wanted) - set(record.found) - set(record.unanswered)
    return [f"{release}: not looked up yet: make audit" for release in sorted(unknown)] + [
        f"{release}: {vulnerability}"
        for release in wanted
        for vulnerability in record.found.get(release, [])
        if vulnerability not in record.accepted
    ]


async def look_up(
    wanted: Sequence[str], accepted: Mapping[str, str], client: httpx.AsyncClient
) -> Record:
    """Asks the index for each release.

    Raises:
        httpx.HTTPError: The index cannot be reached, or fails.
    """
    record = Record(datetime.now(UTC).date().isoformat(), accepted=dict(accepted))
    gate = asyncio.Semaphore(SIMULTANEOUS)

    async def ask(release: str) -> tuple[str, list[str] | None]:
        async with gate:
            return release, await vulnerabilities(release, client)

    for release, ids in await asyncio.gather(*(ask(release) for release in wanted)):
        if ids is None:
            record.unanswered.append(release)
        else:
            record.found[release] = ids
    return record


async def vulnerabilities(release: str, client: httpx.AsyncClient) -> list[str] | None:
    """Asks for the ids of a release's vulnerabilities; None: the index does not know it.

    Mirrors often answer for a package's newest release only: that counts when it is this one.
    https://docs.pypi.org/api/json/ describes both answers.
    """
    name, version = release.split("==")
    for path in (f"{name}/{version}", name):
        answer = await client.get(f"{path}/json")
        if answer.status_code == httpx.codes.NOT_FOUND:
            continue
        about: dict[str, Any] = answer.raise_for_status().json()
        if about["info"]["version"] == version:
            return sorted(one["id"] for one in about["vulnerabilities"] if not one["withdrawn"])
    return None


def pypi() -> httpx.AsyncClient:
    """Opens the index for the time of the context."""
    return httpx.AsyncClient(base_url=PYPI, timeout=SECONDS, follow_redirects=True)


async def refresh(root: Path) -> None:
    """Writes the record again.

    Raises:
        httpx.HTTPError: The index cannot be reached, or fails; the record stays as it was.
    """
    async with pypi() as client:
        save(root, await look_up(locked(root), load(root).accepted, client))


def main(root: Path = ROOT) -> None:
    """Prints what is known; fails when a release must not be used, or the index does not answer."""
    if sys.argv[1:] == ["--refresh"]:
        try:
            asyncio.run(refresh(root))
        except httpx.HTTPError as error:
            sys.exit(f"the index did not answer: {error!r}; the record of before stays")
    record = load(root)
    if record.unanswered:
        print(f"no answer on {record.day} for", *record.unanswered)
    wanted = locked(root)
    if found := problems(wanted, record):
        sys.exit("\n".join(found))
    clear = sum(release in record.found for release in wanted)
    print(f"no known vulnerability in {clear} of {len(wanted)} releases on {record.day}")


if __name__ == "__main__":
    main()
