"""Passwords: bcrypt over a keyed pre-hash, in threads of their own.

bcrypt reads 72 bytes and stops at a zero byte, so it gets an HMAC of the password, 64 hexadecimal
digits. The key is the service's: a stolen database alone gives nothing to guess against.
"""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor

import bcrypt

from mesh.encryption.field_cipher import FieldCipher
from user_svc.domain.password_policy import typed_form

GENERATED_BYTES = 18
"""Of a generated password: 24 characters."""


def generate_password() -> str:
    """Returns a random password."""
    return secrets.token_urlsafe(GENERATED_BYTES)


class Passwords:
    """Hashes and checks passwords, a bounded number at a time."""

    def __init__(self, cipher: FieldCipher, cost: int, threads: int) -> None:
        """Makes the hash that stands in for unknown accounts.

        Args:
            cipher: Holds the key of the pre-hash.
            cost: Rounds of bcrypt as a power of two.
            threads: Most passwords at a time.
        """
        self._cipher = cipher
        self._cost = cost
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bcrypt")
        self._nobody = self._hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """Returns the hash to store."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._hash, password)

    async def matches(self, password: str, stored: str | None) -> bool:
        """Returns whether this is the password: in the same time never, without a stored hash."""
        same = await asyncio.get_running_loop().run_in_executor(
            self._pool, self._matches, password, stored or self._nobody
        )
        return same and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Returns whether the hash was made with fewer rounds than wanted now."""
        return int(stored.split("$")[2]) < self._cost

    async def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=True)

    def _prehash(self, password: str) -> bytes:
        return self._cipher.blind_index(typed_form(password), "password").encode()

    def _hash(self, password: str) -> str:
        return bcrypt.hashpw(self._prehash(password), bcrypt.gensalt(self._cost)).decode()

    def _matches(self, password: str, stored: str) -> bool:
        return bcrypt.checkpw(self._prehash(password), stored.encode())
