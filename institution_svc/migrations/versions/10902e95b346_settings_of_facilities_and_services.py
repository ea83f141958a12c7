"""Settings of facilities and services"""

import sqlalchemy as sa
from alembic import op

revision = "10902e95b346"
down_revision = "eaaa3ec05c22"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Rows of before, and those that a server of the release before still adds, get the usual
    # settings; the models state every value themselves.
    with op.batch_alter_table("institutions", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("elderly_age", sa.SmallInteger(), server_default="60", nullable=False)
        )
        batch_op.add_column(
            sa.Column("elderly", sa.SmallInteger(), server_default="3", nullable=True)
        )
        batch_op.add_column(
            sa.Column("pregnant", sa.SmallInteger(), server_default="3", nullable=True)
        )
        batch_op.add_column(
            sa.Column("disabled", sa.SmallInteger(), server_default="3", nullable=True)
        )
        batch_op.add_column(
            sa.Column("referral", sa.SmallInteger(), server_default="3", nullable=True)
        )

    with op.batch_alter_table("services", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("kind", sa.SmallInteger(), server_default="2", nullable=False)
        )
        batch_op.add_column(sa.Column("rate_high", sa.Double(), server_default="4", nullable=False))
        batch_op.add_column(
            sa.Column("rate_normal", sa.Double(), server_default="2", nullable=False)
        )
        batch_op.add_column(sa.Column("rate_low", sa.Double(), server_default="1", nullable=False))
        batch_op.add_column(
            sa.Column(
                "standard_wait_minutes", sa.SmallInteger(), server_default="60", nullable=False
            )
        )
        batch_op.add_column(
            sa.Column("opens", sa.String(length=5), server_default="", nullable=False)
        )
        batch_op.add_column(
            sa.Column("closes", sa.String(length=5), server_default="", nullable=False)
        )


def downgrade() -> None:
    # A table that others refer to cannot be made anew; SQLite drops columns since 3.35.
    with op.batch_alter_table("services", recreate="never") as batch_op:
        batch_op.drop_column("closes")
        batch_op.drop_column("opens")
        batch_op.drop_column("standard_wait_minutes")
        batch_op.drop_column("rate_low")
        batch_op.drop_column("rate_normal")
        batch_op.drop_column("rate_high")
        batch_op.drop_column("kind")

    with op.batch_alter_table("institutions", recreate="never") as batch_op:
        batch_op.drop_column("referral")
        batch_op.drop_column("disabled")
        batch_op.drop_column("pregnant")
        batch_op.drop_column("elderly")
        batch_op.drop_column("elderly_age")
