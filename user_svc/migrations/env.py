from mesh.persistence.migrations import run_env
from user_svc import audit_tables, login_places, patient_store, second_factor
from user_svc.store import Base

TABLES = (audit_tables, login_places, patient_store, second_factor)
"""Modules whose import adds tables to those of the store."""
run_env(Base.metadata)
