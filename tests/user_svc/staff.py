"""Staff with an authenticator."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import pyotp
from mediq.policy.v1.policy_pb2 import Role
from mediq.user.v1 import auth_service_pb2 as logins

from tests.user_svc.conftest import PASSWORD, Clock, World
from user_svc.domain import totp

STEP = datetime.timedelta(seconds=totp.STEP_SECONDS)


@dataclass
class Staff:
    """A member of staff with an authenticator. Calls begin when they are awaited."""

    world: World
    clock: Clock
    email: str
    user_id: str
    secret: str = ""

    def code(self, steps: int = 0) -> str:
        return pyotp.TOTP(self.secret).at(self.clock.now + steps * STEP)

    def wrong_code(self) -> str:
        near = {self.code(n) for n in range(-3, 4)}
        return next(c for c in (f"{n:06d}" for n in range(10)) if c not in near)

    async def login(
        self, totp_code: str = "", recovery_code: str = "", password: str = PASSWORD
    ) -> logins.TokenPair:
        return await self.world.auth.LoginAdmin(
            logins.LoginAdminRequest(
                email=self.email,
                password=password,
                totp_code=totp_code,
                recovery_code=recovery_code,
            )
        )

    async def begin(
        self, totp_code: str = "", recovery_code: str = "", password: str = PASSWORD
    ) -> logins.TotpEnrolment:
        return await self.world.auth.BeginTotpEnrolment(
            logins.BeginTotpEnrolmentRequest(
                email=self.email,
                password=password,
                totp_code=totp_code,
                recovery_code=recovery_code,
            )
        )

    async def confirm(self, totp_code: str, password: str = PASSWORD) -> logins.RecoveryCodes:
        return await self.world.auth.ConfirmTotpEnrolment(
            logins.ConfirmTotpEnrolmentRequest(
                email=self.email, password=password, totp_code=totp_code
            )
        )

    async def enrol(self) -> list[str]:
        """Protects the login; the next code is not used yet. Gives the recovery codes."""
        self.secret = (await self.begin()).secret
        codes = (await self.confirm(self.code())).codes
        self.clock.move(STEP)
        return list(codes)

    def failures(self) -> int:
        """Failed tries that the throttle counts."""
        return sum(count for (count,) in self.world.sql("SELECT failures FROM login_attempts"))


async def hire(world: World, clock: Clock, role: Role.ValueType = Role.ROLE_OPERATOR) -> Staff:
    made = await world.create(role)
    return Staff(world, clock, made.email, made.id)
