"""Tickets of a person"""

from alembic import op

revision = "337cea42ac95"
down_revision = "b05b572a62ae"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tickets", schema=None) as batch_op:
        batch_op.create_index("ix_tickets_patient", ["patient_id", "create_time"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("tickets", schema=None) as batch_op:
        batch_op.drop_index("ix_tickets_patient")
