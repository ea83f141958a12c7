"""What a password must be: long, not one that others try first, and a new one another one."""

import unicodedata

from mesh.errors import invalid

MIN_PASSWORD_CHARACTERS = 15
"""NIST SP 800-63B-4 section 3.1.1.2, for a password that is the only factor."""
MAX_PASSWORD_CHARACTERS = 128
"""By the contract of the logins."""
MIN_DISTINCT_CHARACTERS = 5

COMMON_PASSWORDS = frozenset(
    {
        "000000000000000",
        "0123456789abcdef",
        "1234567890123456",
        "12345678910111213",
        "123456789012345",
        "123456789abcdef",
        "1q2w3e4r5t6y7u8i",
        "1qaz2wsx3edc4rfv",
        "aaaaaaaaaaaaaaa",
        "abcdefghijklmno",
        "abcdefghijklmnop",
        "administrator123",
        "administrator1234",
        "bismillahirrahmanirrahim",
        "changemechangeme",
        "correcthorsebatterystaple",
        "indonesiamerdeka",
        "indonesiaraya1945",
        "iloveyouforever",
        "kepadayangterhormat",
        "letmeinletmein1",
        "passwordpassword",
        "passwordpassword1",
        "puskesmas123456",
        "puskesmassehat123",
        "q1w2e3r4t5y6u7i8",
        "qwertyuiop12345",
        "qwertyuiop123456",
        "qwertyuiopasdfg",
        "qwertyuiopasdfgh",
        "rahasiarahasia1",
        "rumahsakit12345",
        "rumahsakitumum1",
        "terimakasihbanyak",
        "thisisapassword",
        "zaq12wsxcde34rfv",
    }
)
"""Long passwords that people choose first, lower case."""


def check_password(password: str, email: str, path: str = "password") -> None:
    """Refuses a password that is short, too long or that others try first.

    Args:
        password: The password.
        email: Login of the account, in the form in which it is compared.
        path: Field of the request that holds the password.

    Raises:
        MeshError: INVALID_ARGUMENT with reason PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG or
            PASSWORD_COMMON.
    """
    password = typed_form(password)
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise invalid(
            path,
            f"a password has at least {MIN_PASSWORD_CHARACTERS} characters",
            "PASSWORD_TOO_SHORT",
        )
    if len(password) > MAX_PASSWORD_CHARACTERS:
        raise invalid(
            path,
            f"a password has at most {MAX_PASSWORD_CHARACTERS} characters",
            "PASSWORD_TOO_LONG",
        )
    folded = password.casefold()
    repeats_a_part = (folded + folded).find(folded, 1) < len(folded)
    few_characters = len(set(folded)) < MIN_DISTINCT_CHARACTERS
    is_the_login = folded in (email, email.partition("@")[0])
    if folded in COMMON_PASSWORDS or repeats_a_part or few_characters or is_the_login:
        raise invalid(path, "this password is easily guessed", "PASSWORD_COMMON")


def check_new_password(new: str, old: str, email: str) -> None:
    """Refuses a password that may not take the place of another one.

    Args:
        new: The password from now on.
        old: The password until now, as its owner typed it.
        email: Login of the account, in the form in which it is compared.

    Raises:
        MeshError: INVALID_ARGUMENT with reason PASSWORD_UNCHANGED, or as `check_password`.
    """
    check_password(new, email, "new_password")
    if typed_form(new) == typed_form(old):
        raise invalid("new_password", "this is the password until now", "PASSWORD_UNCHANGED")


def typed_form(password: str) -> str:
    """Returns the form in which passwords are compared, however a keyboard composes them.

    NIST SP 800-63B-4 section 3.1.1.2.
    """
    return unicodedata.normalize("NFKC", password)
