from __future__ import annotations

import pytest

from mesh.errors import MeshError
from user_svc.domain.password_policy import check_new_password, check_password

EMAIL = "siti@contoh.example"


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short", "PASSWORD_TOO_SHORT"),
        ("fourteen-chars", "PASSWORD_TOO_SHORT"),
        ("PasswordPassword", "PASSWORD_COMMON"),
        ("aaaaaaaaaaaaaaaaaaa", "PASSWORD_COMMON"),
        ("abc123abc123abc123", "PASSWORD_COMMON"),
        ("abababbbabbabaab", "PASSWORD_COMMON"),
        ("qwertyuiopasdfgh", "PASSWORD_COMMON"),
        ("\uff51wertyuiopasdfgh", "PASSWORD_COMMON"),
        ("kuda-biru-" + "a\u0301" * 4, "PASSWORD_TOO_SHORT"),
        ("siti.rahmawati.admin", "PASSWORD_COMMON"),
        ("kuda-biru-lari-pagi" * 7, "PASSWORD_TOO_LONG"),
    ],
)
def test_weak_passwords(password: str, reason: str) -> None:
    with pytest.raises(MeshError) as caught:
        check_password(password, "siti.rahmawati.admin@contoh.example")
    assert caught.value.reason == reason


def test_good_password() -> None:
    check_password("kuda-biru-lari-pagi", EMAIL)


@pytest.mark.parametrize(
    ("new", "old", "reason"),
    [
        ("kuda-biru-lari-pagi", "kuda-biru-lari-pagi", "PASSWORD_UNCHANGED"),
        ("kuda-biru-lari-pe\u0301gi", "kuda-biru-lari-p\u00e9gi", "PASSWORD_UNCHANGED"),
        ("qwertyuiopasdfgh", "kuda-biru-lari-pagi", "PASSWORD_COMMON"),
        ("too-short", "kuda-biru-lari-pagi", "PASSWORD_TOO_SHORT"),
    ],
)
def test_passwords_that_take_no_place(new: str, old: str, reason: str) -> None:
    with pytest.raises(MeshError) as caught:
        check_new_password(new, old, EMAIL)
    assert caught.value.reason == reason
    assert [one.field for one in caught.value.violations] == ["new_password"]


def test_another_password() -> None:
    check_new_password("kuda-biru-lari-sore", "kuda-biru-lari-pagi", EMAIL)
