"""Encryption and blind indexes of what is personal in an account."""

from mesh.encryption.field_cipher import FieldCipher
from user_svc.domain.identity import fold_email


def personal_associated_data(account_id: str, column: str) -> str:
    """Returns what a personal column is bound to, so that it cannot be moved to another account."""
    return f"users/{account_id}/{column}"


class AccountCipher:
    """Encrypts the personal columns of accounts, and makes the indexes that they are found by."""

    def __init__(self, cipher: FieldCipher) -> None:
        """Encrypts with `cipher`."""
        self._cipher = cipher

    def nik_index(self, nik: str) -> str:
        """Returns the blind index of a NIK."""
        return self._cipher.blind_index(nik, "nik")

    def email_index(self, email: str) -> str:
        """Returns the blind index of an e-mail address."""
        return self._cipher.blind_index(fold_email(email), "email")

    def network_index(self, email: str, network: str) -> str:
        """Returns the blind index of an e-mail address at a network address."""
        return self._cipher.blind_index(f"{network} {fold_email(email)}", "place")

    def encrypt(self, account_id: str, column: str, text: str) -> bytes:
        """Encrypts the text of a personal column."""
        return self._cipher.encrypt(text.encode(), personal_associated_data(account_id, column))

    def decrypt(self, account_id: str, column: str, ciphertext: bytes | None) -> str:
        """Decrypts a personal column of an account; empty without a ciphertext.

        Raises:
            DecryptionError: It is damaged, of another account, or its key is unknown.
        """
        if ciphertext is None:
            return ""
        associated_data = personal_associated_data(account_id, column)
        return self._cipher.decrypt(ciphertext, associated_data).decode()
