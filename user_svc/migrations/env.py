from mesh.migrations import run_env
from user_svc.patient_store import PatientInstitutionRow
from user_svc.second_factor import SecondFactorRow

MODELS = (PatientInstitutionRow, SecondFactorRow)
"""Each is imported, so that the metadata that all share knows its tables."""

run_env(MODELS[0].metadata)
