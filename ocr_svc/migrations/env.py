from mesh.persistence.migrations import run_env
from ocr_svc.persistence.erasures import ErasureRow

run_env(ErasureRow.metadata)
