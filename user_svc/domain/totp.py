"""One-time codes: TOTP of RFC 6238 over HOTP of RFC 4226, and recovery codes. Pure but for chance.

SHA-1, 6 digits and steps of 30 seconds, since that is what every authenticator understands.
"""

import base64
import datetime
import hmac
import io
import secrets

import pyotp
import segno

from mesh.errors import MeshError, StatusCode, failed_precondition

ISSUER = "MediQ"
"""How the authenticator names us beside the code."""
SECRET_BYTES = 20
"""The length that RFC 4226 section 4, R6 recommends."""
STEP_SECONDS = 30
"""RFC 6238 section 5.2."""
WINDOW_STEPS = 1
"""How far the clocks may differ, in steps on either side (RFC 6238 section 6)."""
ENROLMENT_LIFE = datetime.timedelta(minutes=10)
"""How long a secret that was shown can be confirmed."""
RECOVERY_CODES = 10
RECOVERY_BYTES = 10
"""80 bits, so that a hash without salt and stretching is enough: 16 characters of base 32."""
RECOVERY_GROUP = 4
"""Characters between two hyphens, to copy a code by hand."""


def new_secret() -> str:
    """Returns a random secret in base 32, 32 characters."""
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_uri(secret: str, email: str) -> str:
    """Returns the secret as authenticators read it: otpauth://totp/MediQ:...

    Args:
        secret: In base 32.
        email: Login of the account, shown beside the code.
    """
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def qr_svg(text: str) -> str:
    """Returns the text as a QR code, an SVG document in black on white."""
    drawn = io.BytesIO()
    segno.make_qr(text).save(drawn, kind="svg", scale=4, light="#fff", xmldecl=False)
    return drawn.getvalue().decode().strip()


def step_of(now: datetime.datetime) -> int:
    """Returns the time step: whole periods of 30 seconds since 1970 (RFC 6238 section 4.2)."""
    return int(now.timestamp()) // STEP_SECONDS


def used_step(secret: str, code: str, now: datetime.datetime, last_step: int) -> int | None:
    """Returns the step of a code that is good now, None when it is not.

    Args:
        secret: In base 32.
        code: Six digits.
        now: The time.
        last_step: Newest step whose code was used. It and older ones are over, so a code works
            once (RFC 6238 section 5.2).
    """
    codes = pyotp.HOTP(secret)
    around = step_of(now)
    good = [
        step
        for step in range(around - WINDOW_STEPS, around + WINDOW_STEPS + 1)
        if hmac.compare_digest(codes.at(step).encode(), code.encode()) and step > last_step
    ]
    return good[0] if good else None


def new_recovery_codes() -> list[str]:
    """Returns random recovery codes as they are shown, such as ABCD-EFGH-IJKL-MNOP."""
    return [_new_recovery_code() for _ in range(RECOVERY_CODES)]


def _new_recovery_code() -> str:
    plain = base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode()
    groups = range(0, len(plain), RECOVERY_GROUP)
    return "-".join(plain[start : start + RECOVERY_GROUP] for start in groups)


def fold_recovery_code(typed: str) -> str:
    """Returns the form in which recovery codes are compared: without case, blanks, hyphens."""
    return "".join(typed.replace("-", " ").split()).upper()


def code_required() -> MeshError:
    """Returns the error for a login that stops after the right password, for want of a code."""
    return MeshError(
        "this login needs a one-time code or a recovery code",
        StatusCode.UNAUTHENTICATED,
        "TOTP_REQUIRED",
    )


def enrolment_required() -> MeshError:
    """Returns the error for an administrator who must set up one-time codes first."""
    return failed_precondition(
        "set up one-time codes before you sign in", "TOTP_ENROLMENT_REQUIRED"
    )


def no_open_enrolment() -> MeshError:
    """Returns the error for a confirmation of nothing: never begun, done already, or too late."""
    return failed_precondition(
        "no enrolment waits to be confirmed, begin one", "TOTP_ENROLMENT_NOT_OPEN"
    )
