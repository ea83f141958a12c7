"""Narrow sessions: short tokens that open one thing and are not renewed."""

import datetime
import uuid

from google.protobuf.timestamp_pb2 import Timestamp
from mediq.policy.v1.policy_pb2 import Scope
from mediq.user.v1.auth_service_pb2 import NarrowSession

from mesh.audit_trail.recorder import annotate
from mesh.identity.tokens import TokenSigner


def narrow_session(
    signer: TokenSigner,
    scope: Scope.ValueType,
    subject: str,
    life: datetime.timedelta,
    *,
    session_id: str = "",
) -> NarrowSession:
    """A session of its own identifier, so that the audit trail tells it from every other one.

    Who does something in it is what the session was issued for. So the call that opens it names
    it as a thing: the trail tells who opened the session in which something was done.

    Args:
        signer: Signs the token.
        scope: What the session may do.
        subject: The draft or account that it opens.
        life: How long it lives.
        session_id: Its identifier. Empty: a new one.
    """
    session_id = session_id or str(uuid.uuid4())
    annotate(objects=[session_id])
    token, ends = signer.sign(
        subject,
        lifetime_seconds=int(life.total_seconds()),
        session_id=session_id,
        scope=scope,
    )
    return NarrowSession(access_token=token, access_expire_time=Timestamp(seconds=int(ends)))
