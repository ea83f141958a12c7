from mesh.persistence.migrations import run_env
from queue_svc.models import Base

run_env(Base.metadata)
