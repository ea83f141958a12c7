"""Starts the account service."""

import asyncio
import datetime
from collections.abc import Sequence

from mediq.audit.v1.audit_pb2 import AuditEvent
from mediq.audit.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from mediq.user.v1.auth_service_pb2_grpc import add_AuthServiceServicer_to_server
from mediq.user.v1.user_service_pb2_grpc import add_UserServiceServicer_to_server
from sqlalchemy.orm import Session

from mesh.audit_trail.key import load_audit_key
from mesh.clock import utc_now
from mesh.encryption.field_cipher import FieldCipher
from mesh.encryption.reencryption import Reencryptor
from mesh.idempotency import Idempotency
from mesh.identity.tokens import TokenSigner
from mesh.rpc.audit_lifecycle import open_audit_recorder
from mesh.rpc.database_lifecycle import open_database
from mesh.rpc.server import Server, run
from user_svc.application.password_hashing import Passwords
from user_svc.audit.anchors import Anchors
from user_svc.audit.chain import AuditChain
from user_svc.persistence import known_networks, login_throttle, revocation_publisher
from user_svc.persistence.account_repository import Accounts
from user_svc.persistence.audit_models import AUDIT_OUTBOX
from user_svc.persistence.encrypted_columns import ENCRYPTED_COLUMNS
from user_svc.persistence.models import IDEMPOTENCY
from user_svc.persistence.patient_repository import Patients
from user_svc.persistence.session_repository import Sessions
from user_svc.persistence.totp_repository import SecondFactors
from user_svc.servicers.audit import AuditServicer
from user_svc.servicers.auth import AuthServicer
from user_svc.servicers.users import UserServicer
from user_svc.settings import UserSettings

PURGE_SECONDS = 3600.0


async def build(server: Server) -> None:
    """Wires the service."""
    settings = server.settings
    if not isinstance(settings, UserSettings):
        raise TypeError("the account service needs UserSettings")
    database = open_database(server)
    cipher = FieldCipher.load(settings.keys, settings.service)
    chain = AuditChain(cipher, load_audit_key(settings.keys))

    async def append(events: Sequence[AuditEvent]) -> None:
        await database.write(lambda session: chain.append(session, events, utc_now()))

    trail = open_audit_recorder(server, AUDIT_OUTBOX, database, cipher, append)
    idempotency = Idempotency(IDEMPOTENCY, cipher, database, trail)
    accounts = Accounts(cipher)
    sessions = Sessions(
        cipher,
        life=datetime.timedelta(seconds=settings.session_seconds),
        grace=datetime.timedelta(seconds=settings.refresh_grace_seconds),
    )
    passwords = Passwords(cipher, settings.bcrypt_cost, settings.bcrypt_threads)
    server.on_close(passwords.close)
    signer = TokenSigner(settings.keys)
    server.add(
        add_AuthServiceServicer_to_server,
        AuthServicer(
            database,
            idempotency,
            trail,
            accounts,
            sessions,
            SecondFactors(cipher),
            passwords,
            signer,
            settings.keys / "jwks.json",
            datetime.timedelta(seconds=settings.access_seconds),
            require_admin_totp=settings.require_admin_totp,
        ),
    )
    server.add(
        add_UserServiceServicer_to_server,
        UserServicer(
            database, idempotency, trail, accounts, Patients(cipher), sessions, passwords, signer
        ),
    )
    server.add(add_AuditServiceServicer_to_server, AuditServicer(database, chain))
    anchors = Anchors(database, settings.anchors)
    server.on_close(anchors.write)

    def purge(session: Session) -> None:
        sessions.purge(session, utc_now())
        login_throttle.purge(session, utc_now())
        known_networks.purge(session, utc_now())
        idempotency.forget_old(session)

    async def keep_purging() -> None:
        while True:
            await database.write(purge)
            await asyncio.sleep(PURGE_SECONDS)

    async def keep_telling() -> None:
        await revocation_publisher.keep_telling(database, server.revocations)

    async def keep_anchoring() -> None:
        await anchors.keep(settings.audit_anchor_seconds)

    server.add_background_task(keep_purging)
    server.add_background_task(keep_telling)
    server.add_background_task(Reencryptor(ENCRYPTED_COLUMNS, cipher, database).run)
    server.add_background_task(keep_anchoring)


if __name__ == "__main__":
    run(UserSettings(), build)
