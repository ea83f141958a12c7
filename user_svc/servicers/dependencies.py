"""What the servicers work with."""

from dataclasses import dataclass
from pathlib import Path

from user_svc.application.accounts import Accounts
from user_svc.application.audit_trail import AuditTrail
from user_svc.application.logins.scoped_sessions import ScopedSessions
from user_svc.application.logins.staff_logins import StaffLogins
from user_svc.application.logins.staff_sessions import StaffSessions
from user_svc.application.patients import Patients


@dataclass(frozen=True)
class Dependencies:
    """Holds the use cases."""

    accounts: Accounts
    patients: Patients
    staff_logins: StaffLogins
    staff_sessions: StaffSessions
    scoped_sessions: ScopedSessions
    audit_trail: AuditTrail
    jwks_file: Path
    """Public keys, given out as they are."""
