"""A hostile client against the whole running mesh, and where each security check is tested.

| check | tested in |
|---|---|
| object access, function access | attacks/test_matrix.py: every RPC, made from the contracts |
| the next patient, mixed requests | attacks/test_neighbours.py |
| field access | attacks/test_requests.py; masked NIK: user_svc/accounts/test_patients.py |
| patient login | attacks/test_logins.py |
| patient login: throttle, words of refusals | user_svc/logins/test_logins.py |
| staff login | attacks/test_logins.py, user_svc/logins/test_logins.py |
| rules of passwords | user_svc/logins/test_password_rules.py |
| new passwords, staff by staff | attacks/test_passwords.py, user_svc/logins/test_passwords.py |
| locking the owner out | attacks/test_lockout.py, user_svc/logins/test_known_networks.py |
| one-time codes | attacks/test_one_time_codes.py, user_svc/logins/test_totp_logins.py |
| tokens | attacks/test_tokens.py, user_svc/test_attacks.py, edge/test_access.py |
| key rotation | mesh/identity/test_keys.py |
| refresh | user_svc/sessions/test_sessions.py; at the same moment: attacks/test_tokens.py |
| logout, disable, role change | attacks/test_ended_sessions.py, mesh/identity/test_revocations.py |
| stored data | attacks/test_what_was_written.py |
| stored accounts | user_svc/persistence/test_store.py |
| stored registrations | ocr_svc/persistence/test_store.py |
| card photo | attacks/test_photos.py, ocr_engine/vision/test_imaging.py |
| upload of a photo | ocr_svc/registration/test_upload.py |
| logs | attacks/test_what_was_written.py, user_svc/test_logs.py; conftest.py: every test |
| service to service | attacks/test_matrix.py, attacks/test_connections.py, edge/test_calls.py |
| certificates | attacks/test_connections.py, mesh/identity/test_certificates.py |
| limits | attacks/test_logins.py, attacks/test_slow_clients.py, edge/test_limits.py |
| tickets of a patient | queue_svc/servicers/test_ticket_quota.py, attacks/test_requests.py |
| limits of all Envoys | edge/test_global_limits.py |
| failure: a process | ocr_svc/test_crash.py |
| failure: broker | queue_svc/consistency/test_broker.py |
| failure: Redis | mesh/shared_state/test_cache.py |
| audit trail: every audited RPC | attacks/test_audit_trail.py |
| audit trail: every way to change it | user_svc/audit/test_audit_verify.py |
| copy of a person's data | ocr_svc/data_rights/test_export.py |
| erasure | ocr_svc/data_rights/test_erasure.py, user_svc/accounts/test_erasure.py |
| consent | ocr_svc/data_rights/test_consent.py |
| public board | queue_svc/streaming/test_boards.py |
| web | attacks/test_web.py, edge/test_headers.py, gateway/test_docs.py |
| the interface as documented | attacks/test_schemathesis.py |
"""
