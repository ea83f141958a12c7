"""Erasures that are begun again"""

import sqlalchemy as sa
from alembic import op

revision = "0be4d67b9f99"
down_revision = "6993cf012383"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("erasures", schema=None) as batch_op:
        batch_op.add_column(sa.Column("account", sa.LargeBinary(length=255), nullable=True))
        batch_op.add_column(sa.Column("round", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("erasures", schema=None) as batch_op:
        batch_op.drop_column("round")
        batch_op.drop_column("account")
