"""The repository of second factors: secrets of one-time codes and recovery codes.

Every caller that changes something holds the lock of the account's row, so of two logins with one
code at the same moment the second one finds it used.
"""

import datetime

from sqlalchemy import CursorResult, delete
from sqlalchemy.orm import Session

from mesh.encryption.field_cipher import FieldCipher
from user_svc.domain import accounts, totp
from user_svc.persistence.models import RecoveryCodeRow, SecondFactorRow


def secret_associated_data(user_id: str, column: str) -> str:
    """Returns what a secret is bound to, so that it cannot be moved to another account."""
    return f"second_factors/{user_id}/{column}"


class SecondFactorRepository:
    """Reads and writes second factors, encrypted, in one unit of work."""

    def __init__(self, session: Session, cipher: FieldCipher) -> None:
        """Works in `session`; `cipher` encrypts."""
        self._session = session
        self._cipher = cipher

    def prove(
        self,
        user_id: str,
        totp_code: str,
        recovery_code: str,
        now: datetime.datetime,
    ) -> bool:
        """Uses up a code of the account. A recovery code counts only without a one-time code.

        Returns:
            Whether the login is protected. If not, there is nothing to prove.

        Raises:
            MeshError: UNAUTHENTICATED with reason TOTP_REQUIRED without any code, and
                INVALID_CREDENTIALS with a wrong or used one.
        """
        row = self._session.get(SecondFactorRow, user_id)
        if row is None or row.secret is None:
            return False
        if totp_code:
            secret = self._decrypt(row, "secret", row.secret)
            step = totp.used_step(secret, totp_code, now, row.last_step)
            if step is None:
                raise accounts.invalid_credentials()
            row.last_step = step
        elif recovery_code:
            self._use_recovery_code(user_id, recovery_code)
        else:
            raise totp.code_required()
        return True

    def begin(self, user_id: str, secret: str, now: datetime.datetime) -> datetime.datetime:
        """Keeps a secret until it is confirmed, in place of an earlier one that was not.

        Args:
            user_id: The account.
            secret: In base 32.
            now: The time.

        Returns:
            When it can no longer be confirmed.
        """
        row = self._session.get(SecondFactorRow, user_id)
        if row is None:
            row = SecondFactorRow(user_id=user_id, last_step=0)
            self._session.add(row)
        row.pending_secret = self._encrypt(row, "pending_secret", secret)
        row.pending_expire_time = now + totp.ENROLMENT_LIFE
        return row.pending_expire_time

    def confirm(self, user_id: str, totp_code: str, now: datetime.datetime) -> list[str]:
        """Protects the login with the secret that waits, and uses up the code.

        Returns:
            New recovery codes. The old ones are no longer good.

        Raises:
            MeshError: FAILED_PRECONDITION with reason TOTP_ENROLMENT_NOT_OPEN, or UNAUTHENTICATED
                with reason INVALID_CREDENTIALS when the code is wrong.
        """
        row = self._session.get(SecondFactorRow, user_id)
        if (
            row is None
            or row.pending_secret is None
            or row.pending_expire_time is None
            or row.pending_expire_time <= now
        ):
            raise totp.no_open_enrolment()
        secret = self._decrypt(row, "pending_secret", row.pending_secret)
        step = totp.used_step(secret, totp_code, now, last_step=0)
        if step is None:
            raise accounts.invalid_credentials()
        row.secret, row.last_step = self._encrypt(row, "secret", secret), step
        row.pending_secret = row.pending_expire_time = None
        codes = totp.new_recovery_codes()
        self._session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
        self._session.add_all(
            RecoveryCodeRow(user_id=user_id, code_index=self._recovery_index(user_id, code))
            for code in codes
        )
        return codes

    def remove(self, user_id: str) -> None:
        """Takes the second factor of an account away, with an enrolment that waits."""
        self._session.execute(delete(RecoveryCodeRow).where(RecoveryCodeRow.user_id == user_id))
        self._session.execute(delete(SecondFactorRow).where(SecondFactorRow.user_id == user_id))

    def _use_recovery_code(self, user_id: str, code: str) -> None:
        used = self._session.execute(
            delete(RecoveryCodeRow).where(
                RecoveryCodeRow.user_id == user_id,
                RecoveryCodeRow.code_index == self._recovery_index(user_id, code),
            )
        )
        if not isinstance(used, CursorResult) or used.rowcount != 1:
            raise accounts.invalid_credentials()

    def _recovery_index(self, user_id: str, code: str) -> str:
        # Bound to the account: a hash that is copied to another account opens nothing.
        return self._cipher.blind_index(f"{user_id}/{totp.fold_recovery_code(code)}", "recovery")

    def _encrypt(self, row: SecondFactorRow, column: str, secret: str) -> bytes:
        return self._cipher.encrypt(secret.encode(), secret_associated_data(row.user_id, column))

    def _decrypt(self, row: SecondFactorRow, column: str, ciphertext: bytes) -> str:
        return self._cipher.decrypt(
            ciphertext, secret_associated_data(row.user_id, column)
        ).decode()
