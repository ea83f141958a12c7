from mesh.persistence.migrations import run_env
from user_svc.audit import models
from user_svc.persistence import known_networks, patient_repository, totp_repository
from user_svc.persistence.account_repository import Base

TABLES = (models, known_networks, patient_repository, totp_repository)
"""Modules whose import adds tables to those of the store."""
run_env(Base.metadata)
