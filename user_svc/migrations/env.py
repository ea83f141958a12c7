from mesh.persistence.migrations import run_env
from user_svc.persistence.audit_models import AUDIT_ENTRIES

run_env(AUDIT_ENTRIES.metadata)
