"""The data folder: keys, certificates and databases, made at first start."""

import shutil
from pathlib import Path

from mesh.audit_trail.key import ensure_audit_key
from mesh.encryption.data_keys import ensure_data_key
from mesh.identity.signing_keys import ensure_signing_key
from mesh.identity.tls import ensure_identities
from mesh.registry import installed_services

__all__ = [
    "prepare",
]

MIN_FREE_BYTES = 200 * 1024 * 1024


def prepare(data_dir: Path) -> None:
    """Makes what is missing in the data folder; what is there stays.

    Raises:
        SystemExit: With a text that says what to do: no right to write, no space, damaged files.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        free = shutil.disk_usage(data_dir).free
        if free < MIN_FREE_BYTES:
            raise SystemExit(
                f"{data_dir}: only {free // 2**20} MB are free, {MIN_FREE_BYTES // 2**20} MB are "
                "needed. Make room, or set MEDIQ_HOME to another disk."
            )
        ensure_identities(data_dir / "tls")
        ensure_signing_key(data_dir / "keys")
        for service in installed_services():
            ensure_data_key(data_dir / "keys", service)
        ensure_audit_key(data_dir / "keys")
        (data_dir / "data").mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise SystemExit(
            f"{data_dir}: cannot be written ({error.strerror}). "
            "Set MEDIQ_HOME to a folder of yours."
        ) from error
    except ValueError as error:
        raise SystemExit(
            f"{data_dir}: a file is damaged ({error}). Restore it from a backup; "
            f"on a machine without data, remove {data_dir} and start again."
        ) from error
