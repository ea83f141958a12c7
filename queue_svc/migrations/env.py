from mesh.persistence.migrations import run_env
from queue_svc.persistence.models import Base

run_env(Base.metadata)
