"""Places of logins"""

import sqlalchemy as sa
from alembic import op

from mesh.persistence.database import UtcDateTime

revision = "31384a7c7993"
down_revision = "7bbba40f4d20"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "login_places",
        sa.Column("place_index", sa.String(length=64), nullable=False),
        sa.Column("login_index", sa.String(length=64), nullable=False),
        sa.Column("last_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("place_index"),
    )
    with op.batch_alter_table("login_places", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_login_places_last_time"), ["last_time"], unique=False)
        batch_op.create_index("ix_login_places_newest", ["login_index", "last_time"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("login_places", schema=None) as batch_op:
        batch_op.drop_index("ix_login_places_newest")
        batch_op.drop_index(batch_op.f("ix_login_places_last_time"))

    op.drop_table("login_places")
