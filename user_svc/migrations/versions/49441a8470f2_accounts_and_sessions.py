"""Accounts and sessions"""

import sqlalchemy as sa
from alembic import op

import mesh.persistence.database

revision = "49441a8470f2"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.String(length=120), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(length=65535), nullable=False),
        sa.Column("create_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "request_id"),
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_idempotency_create_time"), ["create_time"], unique=False
        )

    op.create_table(
        "login_attempts",
        sa.Column("login_index", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("login_index"),
    )
    with op.batch_alter_table("login_attempts", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_login_attempts_last_time"), ["last_time"], unique=False
        )

    op.create_table(
        "users",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("institution_id", sa.String(length=36), nullable=False),
        sa.Column("nama", sa.LargeBinary(length=1024), nullable=False),
        sa.Column("nik", sa.LargeBinary(length=1024), nullable=True),
        sa.Column("email", sa.LargeBinary(length=1024), nullable=True),
        sa.Column("tempat_lahir", sa.LargeBinary(length=1024), nullable=True),
        sa.Column("tanggal_lahir", sa.LargeBinary(length=1024), nullable=True),
        sa.Column("jenis_kelamin", sa.LargeBinary(length=1024), nullable=True),
        sa.Column("alamat", sa.LargeBinary(length=1024), nullable=True),
        sa.Column("nik_index", sa.String(length=64), nullable=True),
        sa.Column("email_index", sa.String(length=64), nullable=True),
        sa.Column("password_hash", sa.String(length=60), nullable=True),
        sa.Column("create_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.Column("update_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.Column("close_time", mesh.persistence.database.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email_index", name="uq_users_email_index"),
        sa.UniqueConstraint("nik_index", name="uq_users_nik_index"),
    )
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.create_index(
            "ix_users_institution", ["institution_id", "create_time"], unique=False
        )
        batch_op.create_index("ix_users_newest", ["create_time", "id"], unique=False)

    op.create_table(
        "sessions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("create_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.Column("expire_time", mesh.persistence.database.UtcDateTime(), nullable=False),
        sa.Column("end_time", mesh.persistence.database.UtcDateTime(), nullable=True),
        sa.Column("end_reason", sa.String(length=16), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_expire_time"), ["expire_time"], unique=False)
        batch_op.create_index(batch_op.f("ix_sessions_user_id"), ["user_id"], unique=False)

    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("use_time", mesh.persistence.database.UtcDateTime(), nullable=True),
        sa.Column("successor_salt", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    with op.batch_alter_table("refresh_tokens", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_refresh_tokens_session_id"), ["session_id"], unique=False
        )


def downgrade() -> None:
    op.drop_table("refresh_tokens")
    op.drop_table("sessions")
    op.drop_table("users")
    op.drop_table("login_attempts")
    op.drop_table("idempotency")
