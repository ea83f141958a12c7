"""UserService: accounts of patients and staff."""

from google.protobuf.empty_pb2 import Empty
from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1 import user_service_pb2 as messages
from mediq.user.v1.user_pb2 import User
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import AuditRecorder, annotate
from mesh.clock import utc_now
from mesh.contract import pagination
from mesh.contract.call import current_call, principal
from mesh.errors import not_found
from mesh.idempotency import Idempotency
from mesh.identity.tokens import TokenSigner
from mesh.persistence.database import Database
from mesh.rpc.pipeline import Context
from user_svc.application import password_hashing as passwords
from user_svc.application.password_hashing import Passwords
from user_svc.domain import accounts
from user_svc.domain.accounts import End, Person
from user_svc.messages import calling_service, current_viewer, position_of, role_of, user_message
from user_svc.persistence import totp_repository
from user_svc.persistence.account_repository import Accounts
from user_svc.persistence.patient_repository import Patients
from user_svc.persistence.profile_loader import Profiles
from user_svc.persistence.session_repository import Sessions
from user_svc.servicers.patients import PatientsServicer


class UserServicer(PatientsServicer):
    """Accounts of patients and staff."""

    def __init__(
        self,
        database: Database,
        idempotency: Idempotency,
        trail: AuditRecorder,
        accounts: Accounts,
        patients: Patients,
        sessions: Sessions,
        passwords: Passwords,
        signer: TokenSigner,
    ) -> None:
        """Serves from `database`."""
        self._database = database
        self._idempotency = idempotency
        self._trail = trail
        self._accounts = accounts
        self._patients = patients
        self._sessions = sessions
        self._passwords = passwords
        self._signer = signer
        self._profiles = Profiles(database, accounts)

    async def CreateUser(self, request: messages.CreateUserRequest, context: Context) -> User:
        role = role_of(request.role)
        accounts.require_may_create(role_of(principal().role), role)
        if role is accounts.Role.PASIEN:
            # The facility says where the counter is: it may reach the patient, who belongs to none.
            person = accounts.new_patient(
                request.nama, request.email, request.password, request.nik, utc_now().date()
            )
        else:
            person = accounts.new_staff(
                role,
                request.nama,
                request.email,
                request.password,
                request.nik,
                request.institution_id,
            )
        hashed = await self._passwords.hash(request.password) if request.password else None

        def create(session: Session) -> User:
            account = self._accounts.create(session, person, hashed, utc_now())
            if role is accounts.Role.PASIEN:
                self._patients.join(session, account.id, request.institution_id.lower(), utc_now())
            return user_message(account)

        return await self._with_nik(request, create)

    async def CheckNikExists(
        self, request: messages.CheckNikExistsRequest, context: Context
    ) -> messages.CheckNikExistsResponse:
        found = await self._database.read(
            lambda session: self._accounts.by_nik(session, request.nik)
        )
        annotate(persons=[] if found is None else [found.id])
        return messages.CheckNikExistsResponse(exists=found is not None)

    async def GetUserByNik(self, request: messages.GetUserByNikRequest, context: Context) -> User:
        found = await self._database.read(
            lambda session: self._accounts.by_nik(session, request.nik)
        )
        if found is None:
            raise not_found("user", "")
        return user_message(found)

    async def GetProfile(self, request: messages.GetProfileRequest, context: Context) -> User:
        return user_message(await self._profiles.get(principal().subject))

    async def GetUser(self, request: messages.GetUserRequest, context: Context) -> User:
        return user_message(
            await self._database.read(
                lambda session: self._accounts.visible(
                    session, request.id.lower(), current_viewer()
                )
            )
        )

    async def ListUsers(
        self, request: messages.ListUsersRequest, context: Context
    ) -> messages.ListUsersResponse:
        size = pagination.page_size(request.page_size)
        after = position_of(request.page_token)
        role = None if request.role == Role.ROLE_UNSPECIFIED else role_of(request.role)
        found = await self._database.read(
            lambda session: self._accounts.page(session, current_viewer(), role, after, size + 1)
        )
        last = found[size - 1] if len(found) > size else None
        return messages.ListUsersResponse(
            users=[user_message(one) for one in found[:size]],
            next_page_token=(
                pagination.encode_token(last.create_time.isoformat(), last.id) if last else ""
            ),
        )

    async def UpdateUserRole(
        self, request: messages.UpdateUserRoleRequest, context: Context
    ) -> User:
        viewer, account_id, role = current_viewer(), request.id.lower(), role_of(request.role)

        def change(session: Session) -> User:
            accounts.require_other_account(viewer, account_id)
            account = self._accounts.visible(session, account_id, viewer, lock=True)
            accounts.require_role_fits(account, role)
            self._sessions.end_all(session, account_id, End.ROLE_CHANGED, utc_now())
            return user_message(self._accounts.set_role(session, account_id, role, utc_now()))

        return await self._idempotency.once(viewer.account_id, request, User, change)

    async def ResetPassword(
        self, request: messages.ResetPasswordRequest, context: Context
    ) -> messages.ResetPasswordResponse:
        viewer, account_id = current_viewer(), request.id.lower()
        # One's own needs the password until now: a stolen token must not change it.
        accounts.require_other_account(viewer, account_id)

        def require_resettable(session: Session, lock: bool = False) -> None:
            accounts.require_staff(self._accounts.visible(session, account_id, viewer, lock=lock))

        # Before the hash, which takes long: others wait for it to sign in.
        await self._database.read(require_resettable)
        password = passwords.generate()
        hashed = await self._passwords.hash(password)

        def reset(session: Session) -> None:
            require_resettable(session, lock=True)
            self._accounts.set_password(session, account_id, hashed)
            self._sessions.end_all(session, account_id, End.PASSWORD_RESET, utc_now())
            self._trail.record_change(session, current_call(), request)

        # Not remembered for repetitions: a password that is shown once is kept nowhere.
        await self._database.write(reset)
        return messages.ResetPasswordResponse(password=password)

    async def DeleteUser(self, request: messages.DeleteUserRequest, context: Context) -> Empty:
        viewer, account_id = current_viewer(), request.id.lower()

        def close(session: Session) -> Empty:
            accounts.require_other_account(viewer, account_id)
            account = self._accounts.visible(session, account_id, viewer, lock=True)
            self._accounts.close(session, account, utc_now())
            totp_repository.remove(session, account_id)
            self._sessions.end_all(session, account_id, End.ACCOUNT_CLOSED, utc_now())
            return Empty()

        return await self._idempotency.once(viewer.account_id, request, Empty, close)

    async def EnsurePatient(
        self, request: messages.EnsurePatientRequest, context: Context
    ) -> messages.EnsurePatientResponse:
        identity = request.identity
        person = accounts.patient_of_card(
            Person(
                role=accounts.Role.PASIEN,
                nama=identity.nama,
                nik=identity.nik,
                tempat_lahir=identity.tempat_lahir,
                tanggal_lahir=identity.tanggal_lahir,
                jenis_kelamin=identity.jenis_kelamin,
                alamat=identity.alamat,
            ),
            utc_now().date(),
        )

        def ensure(session: Session) -> messages.EnsurePatientResponse:
            account, created = self._accounts.ensure_patient(session, person, utc_now())
            self._patients.join(session, account.id, request.institution_id.lower(), utc_now())
            return messages.EnsurePatientResponse(user=user_message(account), created=created)

        return await self._idempotency.once(
            calling_service(), request, messages.EnsurePatientResponse, ensure
        )
