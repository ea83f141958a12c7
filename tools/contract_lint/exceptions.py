"""Methods that need not keep a rule, and why."""

from tools.contract_lint.rules import Exceptions

WITHOUT_REQUEST_ID: Exceptions = {
    "AppendAuditEvents": "each event has an identifier of its own",
    "RefreshToken": "the refresh token is good for one use, so it is the key itself",
    "BeginTotpEnrolment": "each one makes a new secret, and only the last can be confirmed",
    "ConfirmTotpEnrolment": "a one-time code is good for one use, so it is the key itself",
    "LoginAdmin": "a one-time code is good for one use, so it is the key itself",
    "ChangePassword": "the old password is good for one change, so it is the key itself",
    "ResetPassword": "each one makes another password, which is kept for no repetition",
    "Logout": "ending an ended session is no error, so a repetition changes nothing",
}
"""Changes that carry no request_id."""
WITHOUT_IDEMPOTENCY: Exceptions = {
    "LoginAdmin": "a repetition finds the code used",
    "ChangePassword": "a repetition finds another password",
    "ResetPassword": "a repetition makes another password",
    "BeginTotpEnrolment": "a repetition makes another secret",
    "ConfirmTotpEnrolment": "a repetition finds the code used",
    "RefreshToken": "a repetition with a used token ends the session",
}
"""Methods that must not be repeated."""
PERSONAL_WITHOUT_AUDIT: Exceptions = {
    "ReadCard": "the reader keeps nothing; the service that asks writes it down",
    "ReadCards": "the reader keeps nothing; the service that asks writes it down",
    "ValidateReading": "the reader keeps nothing; the service that asks writes it down",
    "AppendAuditEvents": "it is what fills the trail",
}
"""Methods with personal data that the audit trail does not keep."""
CHANGES_WITHOUT_AUDIT: Exceptions = {
    "AppendAuditEvents": "it is what fills the trail",
}
"""Changes that the audit trail does not keep."""
