from mesh.migrations import run_env
from queue_svc.store import Base

run_env(Base.metadata)
