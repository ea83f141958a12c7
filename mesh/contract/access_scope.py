"""What exists for a caller: everything, what belongs to one facility, or what is their own."""

from dataclasses import dataclass

from mesh.contract.call import Principal

__all__ = [
    "AccessScope",
]


@dataclass(frozen=True)
class AccessScope:
    """Describes the things that exist for a caller; all others are not found."""

    institution_id: str | None = None
    """Only things of this facility. None: of any."""
    account_id: str | None = None
    """Only things of this account. None: of any."""

    @classmethod
    def of(cls, who: Principal) -> "AccessScope":
        """Returns a facility's scope for its staff, a person's own for everyone else.

        Args:
            who: The caller. Nothing is out of scope for an administrator of the network.
        """
        if who.is_network_admin:
            return cls()
        if who.is_staff:
            return cls(institution_id=who.institution_id)
        return cls(account_id=who.subject)

    @property
    def is_unlimited(self) -> bool:
        """Returns whether nothing is out of scope."""
        return self == AccessScope()

    def covers(self, institution_id: str, account_id: str) -> bool:
        """Returns whether something of a facility and an account exists for the caller."""
        return self.institution_id in (None, institution_id) and self.account_id in (
            None,
            account_id,
        )
