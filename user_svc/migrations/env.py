from mesh.migrations import run_env
from user_svc.store import Base

run_env(Base.metadata)
