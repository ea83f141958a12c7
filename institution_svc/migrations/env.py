from institution_svc.store import Base
from mesh.persistence.migrations import run_env

run_env(Base.metadata)
