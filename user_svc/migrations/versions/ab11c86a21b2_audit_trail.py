"""Audit trail"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

import mesh.persistence.database

revision = "ab11c86a21b2"
down_revision = "508519674805"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("record_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.Column("occur_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.Column("act", sa.SmallInteger(), nullable=False),
        sa.Column("actor_id", sa.String(length=36), nullable=False),
        sa.Column("institution_id", sa.String(length=36), nullable=False),
        sa.Column(
            "payload", sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql"), nullable=False
        ),
        sa.Column("mac", sa.CHAR(length=64), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("event_id"),
    )
    with op.batch_alter_table("audit_entries", schema=None) as batch_op:
        batch_op.create_index("ix_audit_entries_actor", ["actor_id", "position"], unique=False)
        batch_op.create_index(
            "ix_audit_entries_institution", ["institution_id", "position"], unique=False
        )
        batch_op.create_index(
            "ix_audit_entries_time",
            ["occur_time", "act", "institution_id", "actor_id"],
            unique=False,
        )

    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mac", sa.CHAR(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.bulk_insert(head, [{"id": 1, "position": 0, "mac": "0" * 64}])
    op.create_table(
        "audit_persons",
        sa.Column("person_id", sa.String(length=36), nullable=False),
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("person_id", "position"),
    )
    with op.batch_alter_table("audit_persons", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_persons_position"), ["position"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("audit_persons", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_persons_position"))

    op.drop_table("audit_persons")
    op.drop_table("audit_head")
    with op.batch_alter_table("audit_entries", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_entries_time")
        batch_op.drop_index("ix_audit_entries_institution")
        batch_op.drop_index("ix_audit_entries_actor")

    op.drop_table("audit_entries")
