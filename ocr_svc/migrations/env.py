from mesh.migrations import run_env
from ocr_svc.store import Base

run_env(Base.metadata)
