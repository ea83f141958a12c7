"""Consents and erasures"""

import sqlalchemy as sa
from alembic import op

import mesh.persistence.database

revision = "0098ff39db1d"
down_revision = "cfe69fc28da9"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("create_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.Column("retain_time", mesh.persistence.database.UtcDateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.Column("lease_owner", sa.String(length=36), nullable=False),
        sa.Column("lease_until", mesh.persistence.database.UtcDateTime(), nullable=True),
        sa.Column("update_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("person"),
    )
    with op.batch_alter_table("erasures", schema=None) as batch_op:
        batch_op.create_index("ix_erasures_due", ["state", "next_attempt_time"], unique=False)
        batch_op.create_index("ix_erasures_retained", ["state", "retain_time"], unique=False)

    with op.batch_alter_table("registrations", schema=None) as batch_op:
        # Earlier registrations agreed to a text without a version.
        for name, length in (("consent_version", 20), ("consent_purposes", 400)):
            kind = sa.String(length=length)
            batch_op.add_column(sa.Column(name, kind, nullable=False, server_default=""))
        batch_op.create_index("ix_registrations_user", ["user_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("registrations", schema=None) as batch_op:
        batch_op.drop_index("ix_registrations_user")
        batch_op.drop_column("consent_purposes")
        batch_op.drop_column("consent_version")

    with op.batch_alter_table("erasures", schema=None) as batch_op:
        batch_op.drop_index("ix_erasures_retained")
        batch_op.drop_index("ix_erasures_due")

    op.drop_table("erasures")
