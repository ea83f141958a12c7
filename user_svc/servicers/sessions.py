"""The part of AuthService that shows and ends sessions."""

from google.protobuf.empty_pb2 import Empty
from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1 import auth_service_pb2 as messages
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceServicer
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import annotate
from mesh.clock import timestamp, utc_now
from mesh.contract import pagination
from mesh.contract.call import principal
from mesh.errors import MeshError, not_found
from mesh.idempotency import Idempotency
from mesh.persistence.database import Database
from mesh.rpc.pipeline import Context
from user_svc.domain.accounts import End
from user_svc.messages import current_viewer, position_of
from user_svc.persistence import session_queries
from user_svc.persistence.account_repository import Accounts


class SessionsServicer(AuthServiceServicer):
    """Shows and ends sessions: one's own, and those of accounts that one administers."""

    _database: Database
    _accounts: Accounts
    _idempotency: Idempotency

    async def ListSessions(
        self, request: messages.ListSessionsRequest, context: Context
    ) -> messages.ListSessionsResponse:
        size = pagination.page_size(request.page_size)
        after = position_of(request.page_token)
        user_id = request.user_id.lower() or principal().subject

        def look(session: Session) -> list[session_queries.OpenSession]:
            self._require_visible(session, user_id)
            return session_queries.page(session, user_id, after, size + 1, utc_now())

        found = await self._database.read(look)
        last = found[size - 1] if len(found) > size else None
        return messages.ListSessionsResponse(
            sessions=[_message(one) for one in found[:size]],
            next_page_token=(
                pagination.encode_token(last.create_time.isoformat(), last.id) if last else ""
            ),
        )

    async def EndSession(self, request: messages.EndSessionRequest, context: Context) -> Empty:
        session_id = request.id.lower()

        def end(session: Session) -> Empty:
            user_id = session_queries.owner(session, session_id)
            try:
                self._require_visible(session, user_id or "")
            except MeshError as error:
                # The one error of unknown sessions and of those of others.
                raise not_found("session", session_id) from error
            annotate(persons=[user_id or ""])
            session_queries.end(session, session_id, End.END_SESSION, utc_now())
            return Empty()

        return await self._idempotency.once(principal().subject, request, Empty, end)

    def _require_visible(self, session: Session, user_id: str) -> None:
        """Refuses an account that is neither the caller's nor administered by the caller.

        Raises:
            MeshError: USER_NOT_FOUND.
        """
        if user_id == principal().subject:
            return
        if principal().role != Role.ROLE_ADMIN_FASKES:
            raise not_found("user", user_id)
        self._accounts.visible(session, user_id, current_viewer())


def _message(found: session_queries.OpenSession) -> messages.SessionInfo:
    return messages.SessionInfo(
        id=found.id,
        user_id=found.user_id,
        create_time=timestamp(found.create_time),
        use_time=timestamp(found.use_time),
        expire_time=timestamp(found.expire_time),
        current=found.id == principal().session_id,
    )
