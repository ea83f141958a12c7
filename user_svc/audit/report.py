"""What a verification of the audit trail finds."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from user_svc.audit.anchors import Anchor
from user_svc.domain.audit_trail import EMPTY, Head

SHOWN = 20
"""Findings that a report names one by one; the others are counted."""


class Fault(StrEnum):
    """Says what is wrong."""

    GAP = "GAP"
    """Positions are missing."""
    POSITION = "POSITION"
    """A position is there twice, or is below 1."""
    DOUBLE = "DOUBLE"
    """One event stands at several positions."""
    MAC = "MAC"
    """The HMAC does not belong to the position, the time, the event and the entry before."""
    PAYLOAD = "PAYLOAD"
    """The event cannot be decrypted or read."""
    COLUMN = "COLUMN"
    """A plain column says something else than the event."""
    PERSON_MISSING = "PERSON_MISSING"
    """A person of the event is not in audit_persons."""
    PERSON_EXTRA = "PERSON_EXTRA"
    """A row of audit_persons belongs to no event."""
    HEAD = "HEAD"
    """The head row does not name the last entry."""
    SHORT = "SHORT"
    """An anchor is newer than the last entry: the end of the trail was cut off."""
    ANCHOR = "ANCHOR"
    """The entry of an anchor is missing or has another HMAC: the trail was written again."""
    ANCHOR_LINE = "ANCHOR_LINE"
    """A line of a file of anchors is damaged, and no crash explains it."""


@dataclass(frozen=True)
class Finding:
    """Describes something that is wrong."""

    fault: Fault
    position: int | None
    """Where in the trail; None: a file of anchors."""
    detail: str
    """For an operator; names nobody."""


@dataclass
class Report:
    """Collects what a verification finds."""

    entries: int = 0
    """Entries that were read."""
    last: Head = EMPTY
    """The last entry that was read."""
    anchors: int = 0
    """Anchors that were compared."""
    newest_anchor: Anchor | None = None
    """The anchor with the highest position."""
    counts: Counter[Fault] = field(default_factory=Counter)
    """How often each fault was found."""
    first: Finding | None = None
    """The finding at the lowest position."""
    shown: list[Finding] = field(default_factory=list)
    """The findings that were met first, at most SHOWN."""
    warnings: list[str] = field(default_factory=list)
    """What an operator should check, though nothing is wrong with the trail."""

    @property
    def whole(self) -> bool:
        """Returns whether nothing is wrong."""
        return not self.counts

    def add(self, fault: Fault, position: int | None, detail: str) -> None:
        """Adds something that is wrong."""
        finding = Finding(fault, position, detail)
        self.counts[fault] += 1
        if len(self.shown) < SHOWN:
            self.shown.append(finding)
        if self.first is None or _order(finding) < _order(self.first):
            self.first = finding


def _order(finding: Finding) -> float:
    return float("inf") if finding.position is None else finding.position
