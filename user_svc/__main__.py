"""Starts the account service."""

import datetime
from functools import partial

from mediq.audit.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from mediq.user.v1.auth_service_pb2_grpc import add_AuthServiceServicer_to_server
from mediq.user.v1.user_service_pb2_grpc import add_UserServiceServicer_to_server

from mesh.audit_trail.key import load_audit_key
from mesh.background import run_periodically
from mesh.clock import Clock, utc_now
from mesh.encryption.field_cipher import FieldCipher
from mesh.encryption.reencryption import Reencryptor
from mesh.idempotency import Idempotency
from mesh.identity.tokens import TokenSigner
from mesh.persistence.database import Database
from mesh.rpc.audit_lifecycle import open_audit_recorder
from mesh.rpc.database_lifecycle import open_database
from mesh.rpc.server import Server, run
from user_svc.application.accounts import Accounts
from user_svc.application.audit_trail import AuditTrail
from user_svc.application.logins.password_check import PasswordCheck
from user_svc.application.logins.patient_logins import PatientLogins
from user_svc.application.logins.revocation_publisher import RevocationPublisher
from user_svc.application.logins.scoped_sessions import ScopedSessions
from user_svc.application.logins.staff_logins import StaffLogins
from user_svc.application.logins.staff_sessions import StaffSessions, delete_expired
from user_svc.application.nik_changes import NikChanges
from user_svc.application.password_hashing import Passwords
from user_svc.application.patients import Patients
from user_svc.application.unit_of_work import UnitsOfWork
from user_svc.audit.anchors import Anchors
from user_svc.audit.chain import AuditChain
from user_svc.persistence.account_cipher import AccountCipher
from user_svc.persistence.audit_models import AUDIT_OUTBOX
from user_svc.persistence.encrypted_columns import AUDIT_DATABASE_COLUMNS, ENCRYPTED_COLUMNS
from user_svc.persistence.models import IDEMPOTENCY
from user_svc.persistence.profile_loader import ProfileLoader
from user_svc.servicers.audit import AuditServicer
from user_svc.servicers.auth import AuthServicer
from user_svc.servicers.dependencies import Dependencies
from user_svc.servicers.users import UserServicer
from user_svc.settings import UserSettings

PURGE_SECONDS = 3600.0


async def build(server: Server) -> None:
    """Wires the service."""
    wire(server, utc_now)


def wire(server: Server, clock: Clock) -> None:
    """Wires the service with its surroundings.

    Args:
        server: The server to fill; its settings are UserSettings.
        clock: Gives the time.
    """
    settings = server.settings
    assert isinstance(settings, UserSettings)
    database = open_database(server)
    cipher = FieldCipher.load(settings.keys, settings.service)
    account_cipher = AccountCipher(cipher)
    trail = _open_audit_trail(server, database, cipher, clock)
    recorder = open_audit_recorder(server, AUDIT_OUTBOX, database, cipher, trail.append, clock)
    idempotency = Idempotency(IDEMPOTENCY, cipher, database, recorder, clock)
    units = UnitsOfWork(database, cipher, settings.session_rules, idempotency, clock)
    passwords = Passwords(cipher, settings.bcrypt_cost, settings.bcrypt_threads)
    server.on_close(passwords.close)
    signer = TokenSigner(settings.keys)
    nik_changes = NikChanges(units, recorder)
    access_life = datetime.timedelta(seconds=settings.access_seconds)
    staff_sessions = StaffSessions(units, signer, access_life, recorder, clock)
    dependencies = Dependencies(
        accounts=Accounts(
            units, nik_changes, ProfileLoader(database, account_cipher), passwords, recorder, clock
        ),
        patients=Patients(units, nik_changes, idempotency, clock),
        staff_logins=StaffLogins(
            PasswordCheck(units, account_cipher, passwords, recorder),
            staff_sessions,
            recorder,
            require_admin_totp=settings.require_admin_totp,
        ),
        staff_sessions=staff_sessions,
        scoped_sessions=ScopedSessions(
            units, signer, PatientLogins(units, account_cipher, recorder), clock
        ),
        audit_trail=trail,
        jwks_file=settings.keys / "jwks.json",
    )
    _add_servicers(server, dependencies)
    server.add_background_task(
        partial(run_periodically, partial(units.execute, delete_expired, None), PURGE_SECONDS)
    )
    server.add_background_task(idempotency.keep_forgetting)
    server.add_background_task(RevocationPublisher(database, server.revocations, clock).run)
    server.add_background_task(Reencryptor(ENCRYPTED_COLUMNS, cipher, database).run)


def _open_audit_trail(
    server: Server, database: Database, cipher: FieldCipher, clock: Clock
) -> AuditTrail:
    """Opens the trail, in a database of its own if it has one, and writes its anchors."""
    settings = server.settings
    assert isinstance(settings, UserSettings)
    if settings.audit_database_url:
        database = open_database(server, settings.audit_database_url, "audit_database")
        server.add_background_task(Reencryptor(AUDIT_DATABASE_COLUMNS, cipher, database).run)
    anchors = Anchors(database, settings.anchors, clock)
    server.add_background_task(
        partial(run_periodically, anchors.write, settings.audit_anchor_seconds)
    )
    server.on_close(anchors.write)
    return AuditTrail(database, AuditChain(cipher, load_audit_key(settings.keys)), clock)


def _add_servicers(server: Server, dependencies: Dependencies) -> None:
    server.add(add_AuthServiceServicer_to_server, AuthServicer(dependencies))
    server.add(add_UserServiceServicer_to_server, UserServicer(dependencies))
    server.add(add_AuditServiceServicer_to_server, AuditServicer(dependencies))


if __name__ == "__main__":
    run(UserSettings(), build)
