"""AuthService: logins, tokens and sessions."""

import asyncio

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.empty_pb2 import Empty
from mediq.user.v1 import auth_service_pb2 as messages
from mediq.user.v1.auth_service_pb2_grpc import AuthServiceServicer

from mesh.clock import timestamp
from mesh.contract import pagination
from mesh.contract.call import principal
from mesh.rpc.pipeline import Context
from user_svc.application.logins.staff_logins import (
    BeginTotpEnrolment,
    ChangePassword,
    ConfirmTotpEnrolment,
    LoginAdmin,
)
from user_svc.application.logins.staff_sessions import EndSession
from user_svc.domain.sessions import OpenSession
from user_svc.servicers.callers import session_viewer
from user_svc.servicers.dependencies import Dependencies
from user_svc.servicers.page_tokens import time_position, time_token


class AuthServicer(AuthServiceServicer):
    """Serves logins, tokens and sessions."""

    def __init__(self, dependencies: Dependencies) -> None:
        """Serves with the use cases of logins and sessions."""
        self._logins = dependencies.staff_logins
        self._sessions = dependencies.staff_sessions
        self._scoped_sessions = dependencies.scoped_sessions
        self._jwks_file = dependencies.jwks_file

    async def LoginAdmin(
        self, request: messages.LoginAdminRequest, context: Context
    ) -> messages.TokenPair:
        command = LoginAdmin(
            email=request.email,
            password=request.password,
            totp_code=request.totp_code,
            recovery_code=request.recovery_code,
        )
        return await self._logins.sign_in(command)

    async def ChangePassword(
        self, request: messages.ChangePasswordRequest, context: Context
    ) -> Empty:
        command = ChangePassword(
            email=request.email,
            password=request.password,
            totp_code=request.totp_code,
            recovery_code=request.recovery_code,
            new_password=request.new_password,
        )
        return await self._logins.change_password(command)

    async def BeginTotpEnrolment(
        self, request: messages.BeginTotpEnrolmentRequest, context: Context
    ) -> messages.TotpEnrolment:
        command = BeginTotpEnrolment(
            email=request.email,
            password=request.password,
            totp_code=request.totp_code,
            recovery_code=request.recovery_code,
        )
        return await self._logins.begin_totp_enrolment(command)

    async def ConfirmTotpEnrolment(
        self, request: messages.ConfirmTotpEnrolmentRequest, context: Context
    ) -> messages.RecoveryCodes:
        command = ConfirmTotpEnrolment(
            email=request.email, password=request.password, totp_code=request.totp_code
        )
        return await self._logins.confirm_totp_enrolment(command)

    async def LoginUser(
        self, request: messages.LoginUserRequest, context: Context
    ) -> messages.NarrowSession:
        return await self._scoped_sessions.sign_in(request.nik, request.name)

    async def RefreshToken(
        self, request: messages.RefreshTokenRequest, context: Context
    ) -> messages.TokenPair:
        return await self._sessions.refresh(request.refresh_token)

    async def Logout(self, request: messages.LogoutRequest, context: Context) -> Empty:
        return await self._sessions.log_out(request.refresh_token)

    async def GetJwks(self, request: messages.GetJwksRequest, context: Context) -> HttpBody:
        keys = await asyncio.to_thread(self._jwks_file.read_bytes)
        return HttpBody(content_type="application/json", data=keys)

    async def IssueNarrowSession(
        self, request: messages.IssueNarrowSessionRequest, context: Context
    ) -> messages.NarrowSession:
        return await self._scoped_sessions.issue(request.scope, request.subject_id)

    async def ListSessions(
        self, request: messages.ListSessionsRequest, context: Context
    ) -> messages.ListSessionsResponse:
        size = pagination.page_size(request.page_size)
        found = await self._sessions.page(
            session_viewer(),
            request.user_id or principal().subject,
            time_position(request.page_token),
            size + 1,
        )
        last = found[size - 1] if len(found) > size else None
        return messages.ListSessionsResponse(
            sessions=map(_session_message, found[:size]),
            next_page_token="" if last is None else time_token(last.create_time, last.id),
        )

    async def EndSession(self, request: messages.EndSessionRequest, context: Context) -> Empty:
        return await self._sessions.end(request, EndSession(session_viewer(), request.id))


def _session_message(found: OpenSession) -> messages.SessionInfo:
    return messages.SessionInfo(
        id=found.id,
        user_id=found.user_id,
        create_time=timestamp(found.create_time),
        use_time=timestamp(found.use_time),
        expire_time=timestamp(found.expire_time),
        current=found.id == principal().session_id,
    )
