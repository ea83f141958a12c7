"""Rights of patients"""

import sqlalchemy as sa
from alembic import op

import mesh.persistence.database

revision = "508519674805"
down_revision = "e2b1d07c9e51"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "patient_institutions",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("institution_id", sa.String(length=36), nullable=False),
        sa.Column("first_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
        ),
        sa.PrimaryKeyConstraint("user_id", "institution_id"),
    )
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("identity_time", mesh.persistence.database.UtcDateTime(), nullable=True)
        )
        batch_op.add_column(
            sa.Column("erase_time", mesh.persistence.database.UtcDateTime(), nullable=True)
        )
        batch_op.alter_column("nama", existing_type=sa.LargeBinary(length=1024), nullable=True)
        batch_op.create_index("ix_users_identity", ["identity_time"], unique=False)


def downgrade() -> None:
    op.execute(sa.text("UPDATE users SET nama = '' WHERE nama IS NULL"))
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.drop_index("ix_users_identity")
        batch_op.alter_column("nama", existing_type=sa.LargeBinary(length=1024), nullable=False)
        batch_op.drop_column("erase_time")
        batch_op.drop_column("identity_time")

    op.drop_table("patient_institutions")
