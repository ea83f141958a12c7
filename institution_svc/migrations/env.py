from institution_svc.persistence.models import Base
from mesh.persistence.migrations import run_env

run_env(Base.metadata)
