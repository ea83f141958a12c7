"""The audit trail of a service: what changed and what was shown, kept until user_svc has it."""
