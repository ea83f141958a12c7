"""One-time codes"""

import sqlalchemy as sa
from alembic import op

import mesh.persistence.database

revision = "90424464a2db"
down_revision = "49441a8470f2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("code_index", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
        ),
        sa.PrimaryKeyConstraint("user_id", "code_index"),
    )
    op.create_table(
        "second_factors",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("secret", sa.LargeBinary(length=1024), nullable=True),
        sa.Column("last_step", sa.Integer(), nullable=False),
        sa.Column("pending_secret", sa.LargeBinary(length=1024), nullable=True),
        sa.Column("pending_expire_time", mesh.persistence.database.UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
        ),
        sa.PrimaryKeyConstraint("user_id"),
    )


def downgrade() -> None:
    op.drop_table("second_factors")
    op.drop_table("recovery_codes")
