"""The database of a service: units of work, migrations, outbox, group commit."""
