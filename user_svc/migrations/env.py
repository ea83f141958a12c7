from mesh.migrations import run_env
from user_svc.second_factor import SecondFactorRow

run_env(SecondFactorRow.metadata)
