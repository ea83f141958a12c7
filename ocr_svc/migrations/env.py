from mesh.persistence.migrations import run_env
from ocr_svc.erasure_store import ErasureRow

run_env(ErasureRow.metadata)
