from mesh.persistence.migrations import run_env
from ocr_svc.persistence.models import Base

run_env(Base.metadata)
