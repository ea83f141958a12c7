"""Age of the patient"""

import sqlalchemy as sa
from alembic import op

revision = "cfe69fc28da9"
down_revision = "ba76bbdfdede"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("registrations", schema=None) as batch_op:
        batch_op.add_column(sa.Column("age", sa.LargeBinary(length=16777215), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("registrations", schema=None) as batch_op:
        batch_op.drop_column("age")
