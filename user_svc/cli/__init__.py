"""Commands beside the service: administrators and the audit trail."""
