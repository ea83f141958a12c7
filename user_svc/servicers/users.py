"""UserService: accounts of patients and staff, and the rights of patients."""

from google.protobuf.empty_pb2 import Empty
from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1 import user_service_pb2 as messages
from mediq.user.v1.auth_service_pb2 import NarrowSession
from mediq.user.v1.user_pb2 import User
from mediq.user.v1.user_service_pb2_grpc import UserServiceServicer

from mesh.audit_trail.events import annotate
from mesh.contract import pagination
from mesh.contract.call import principal
from mesh.errors import not_found
from mesh.rpc.pipeline import Context
from user_svc.application.accounts import CreateUser, DeleteUser, ResetPassword, UpdateUserRole
from user_svc.application.patients import CorrectPatient, EnsurePatient, ErasePatient
from user_svc.domain.patients import CORRECTABLE
from user_svc.messages.accounts import (
    identity_message,
    person_of_card,
    role_of,
    user_message,
)
from user_svc.servicers.callers import caller_scope, calling_service
from user_svc.servicers.dependencies import Dependencies
from user_svc.servicers.page_tokens import time_position, time_token


class UserServicer(UserServiceServicer):
    """Serves accounts of patients and staff, and the rights of patients."""

    def __init__(self, dependencies: Dependencies) -> None:
        """Serves with the use cases of accounts and patients."""
        self._accounts = dependencies.accounts
        self._patients = dependencies.patients
        self._scoped_sessions = dependencies.scoped_sessions

    async def CreateUser(self, request: messages.CreateUserRequest, context: Context) -> User:
        who = principal()
        command = CreateUser(
            creator=role_of(who.role),
            role=role_of(request.role),
            nama=request.nama,
            email=request.email,
            password=request.password,
            nik=request.nik,
            institution_id=request.institution_id,
        )
        return await self._accounts.create(who.subject, request, command)

    async def CheckNikExists(
        self, request: messages.CheckNikExistsRequest, context: Context
    ) -> messages.CheckNikExistsResponse:
        found = await self._accounts.find_by_nik(request.nik)
        annotate(persons=[] if found is None else [found.id])
        return messages.CheckNikExistsResponse(exists=found is not None)

    async def GetUserByNik(self, request: messages.GetUserByNikRequest, context: Context) -> User:
        found = await self._accounts.find_by_nik(request.nik)
        if found is None:
            raise not_found("user", "")
        return user_message(found)

    async def GetProfile(self, request: messages.GetProfileRequest, context: Context) -> User:
        return user_message(await self._accounts.profile(principal().subject))

    async def GetUser(self, request: messages.GetUserRequest, context: Context) -> User:
        return user_message(await self._accounts.get(request.id, caller_scope()))

    async def ListUsers(
        self, request: messages.ListUsersRequest, context: Context
    ) -> messages.ListUsersResponse:
        size = pagination.page_size(request.page_size)
        role = None if request.role == Role.ROLE_UNSPECIFIED else role_of(request.role)
        found = await self._accounts.page(
            caller_scope(), role, time_position(request.page_token), size + 1
        )
        last = found[size - 1] if len(found) > size else None
        return messages.ListUsersResponse(
            users=map(user_message, found[:size]),
            next_page_token="" if last is None else time_token(last.create_time, last.id),
        )

    async def UpdateUserRole(
        self, request: messages.UpdateUserRoleRequest, context: Context
    ) -> User:
        command = UpdateUserRole(
            principal().subject, caller_scope(), request.id, role_of(request.role)
        )
        return await self._accounts.update_role(request, command)

    async def ResetPassword(
        self, request: messages.ResetPasswordRequest, context: Context
    ) -> messages.ResetPasswordResponse:
        command = ResetPassword(principal().subject, caller_scope(), request.id, request)
        return messages.ResetPasswordResponse(password=await self._accounts.reset_password(command))

    async def DeleteUser(self, request: messages.DeleteUserRequest, context: Context) -> Empty:
        command = DeleteUser(principal().subject, caller_scope(), request.id)
        return await self._accounts.delete(request, command)

    async def EnsurePatient(
        self, request: messages.EnsurePatientRequest, context: Context
    ) -> messages.EnsurePatientResponse:
        command = EnsurePatient(person_of_card(request.identity), request.institution_id)
        return await self._patients.ensure(calling_service(), request, command)

    async def RevealNik(
        self, request: messages.RevealNikRequest, context: Context
    ) -> messages.RevealNikResponse:
        nik = await self._patients.reveal_nik(request.id, caller_scope())
        return messages.RevealNikResponse(nik=nik)

    async def CorrectPatient(
        self, request: messages.CorrectPatientRequest, context: Context
    ) -> User:
        given = {field.name: value for field, value in request.ListFields()}
        changes = {name: given[name] for name in CORRECTABLE if name in given}
        command = CorrectPatient(request.id, caller_scope(), changes)
        return await self._patients.correct(principal().subject, request, command)

    async def OpenDataRights(
        self, request: messages.OpenDataRightsRequest, context: Context
    ) -> NarrowSession:
        return await self._scoped_sessions.open_data_rights(request.id, caller_scope())

    async def GetPatientRecord(
        self, request: messages.GetPatientRecordRequest, context: Context
    ) -> messages.PatientRecord:
        account, facilities = await self._patients.record(request.id)
        return messages.PatientRecord(
            user=user_message(account),
            identity=identity_message(account),
            institution_ids=facilities,
        )

    async def ErasePatient(self, request: messages.ErasePatientRequest, context: Context) -> Empty:
        command = ErasePatient(request.id, retains=request.HasField("retain_time"))
        return await self._patients.erase(calling_service(), request, command)
