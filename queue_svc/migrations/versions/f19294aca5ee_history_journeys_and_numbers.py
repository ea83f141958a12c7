"""History, journeys and numbers"""

import datetime
import math
from collections import Counter

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

import mesh.persistence.database

revision = "f19294aca5ee"
down_revision = "94e5f4ad733a"
branch_labels = None
depends_on = None

TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UTC_HOURS = {"Asia/Jakarta": 7, "Asia/Makassar": 8, "Asia/Jayapura": 9}
WAITING, CALLED, SERVING, DONE, SKIPPED, NO_SHOW, CANCELLED = range(1, 8)
ACTS = {
    (WAITING, CALLED): 2,
    (CALLED, CALLED): 5,
    (CALLED, SERVING): 6,
    (SERVING, DONE): 7,
    (CALLED, SKIPPED): 8,
    (SKIPPED, WAITING): 9,
    (CALLED, WAITING): 11,
    (SERVING, WAITING): 11,
}
"""What each change of state is called; the ends have a number of their own."""
ENDS = {NO_SHOW: 10, CANCELLED: 4}
COUNTS = ("issued", "called", "done", "no_show", "cancelled", "transferred", "within_standard")
COMPARED = ("compared", "within_ten_minutes", "under_upper_bound")


def upgrade() -> None:
    create_numbers()
    with op.batch_alter_table("queues", schema=None) as batch_op:
        for name, kind, value in (
            ("kind", sa.SmallInteger(), "2"),
            ("rate_high", sa.Double(), "4"),
            ("rate_normal", sa.Double(), "2"),
            ("rate_low", sa.Double(), "1"),
            ("standard_minutes", sa.Integer(), "60"),
            ("opens", sa.String(length=5), ""),
            ("closes", sa.String(length=5), ""),
            ("revision", sa.Integer(), "0"),
            ("waiting", sa.Integer(), "0"),
        ):
            batch_op.add_column(sa.Column(name, kind, nullable=False, server_default=value))
        batch_op.alter_column(
            "last_issue_time",
            new_column_name="last_change_time",
            existing_type=TIME,
            existing_nullable=False,
        )
    with op.batch_alter_table("ticket_changes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("queue_id", KEY, nullable=True))
        batch_op.add_column(sa.Column("revision", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("act", sa.SmallInteger(), nullable=True))
        batch_op.add_column(sa.Column("priority", sa.SmallInteger(), nullable=True))
        batch_op.add_column(sa.Column("waiting", sa.Integer(), nullable=True))
    with op.batch_alter_table("tickets", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("ground", sa.SmallInteger(), nullable=False, server_default="0")
        )
        batch_op.add_column(sa.Column("predicted_ms", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("predicted_high_ms", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("journey_id", sa.String(length=36), nullable=True))
        batch_op.add_column(
            sa.Column("arrive_time", mesh.persistence.database.UtcDateTime(), nullable=True)
        )
        batch_op.add_column(sa.Column("previous_id", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("next_id", sa.String(length=36), nullable=True))
    fill()
    with op.batch_alter_table("ticket_changes", schema=None) as batch_op:
        batch_op.alter_column("queue_id", existing_type=KEY, nullable=False)
        for name in ("revision", "waiting"):
            batch_op.alter_column(name, existing_type=sa.Integer(), nullable=False)
        for name in ("act", "priority"):
            batch_op.alter_column(name, existing_type=sa.SmallInteger(), nullable=False)
        batch_op.create_unique_constraint("uq_ticket_changes_revision", ["queue_id", "revision"])
        batch_op.create_foreign_key("fk_ticket_changes_queue", "queues", ["queue_id"], ["id"])
    with op.batch_alter_table("tickets", schema=None) as batch_op:
        batch_op.alter_column("journey_id", existing_type=sa.String(length=36), nullable=False)
        batch_op.alter_column("arrive_time", existing_type=TIME, nullable=False)
        batch_op.create_index("ix_tickets_arrivals", ["queue_id", "create_time"], unique=False)
        batch_op.create_index("ix_tickets_journey", ["journey_id"], unique=False)


def create_numbers() -> None:
    place = (
        ("queue_id", KEY),
        ("hour", sa.SmallInteger()),
        ("priority", sa.SmallInteger()),
        ("counter_id", sa.String(length=36)),
    )

    def columns(*names: str) -> list[sa.Column[int]]:
        return [sa.Column(name, sa.Integer(), nullable=False) for name in names]

    op.create_table(
        "rollups",
        *(sa.Column(name, kind, nullable=False, autoincrement=False) for name, kind in place),
        sa.Column("counter_name", sa.String(length=40), nullable=False),
        *columns(*COUNTS),
        sa.Column("wait_ms", sa.BigInteger(), nullable=False),
        sa.Column("service_ms", sa.BigInteger(), nullable=False),
        *columns(*COMPARED),
        sa.ForeignKeyConstraint(["queue_id"], ["queues.id"]),
        sa.PrimaryKeyConstraint(*(name for name, _ in place)),
    )
    op.create_table(
        "rollup_samples",
        *(sa.Column(name, kind, nullable=False, autoincrement=False) for name, kind in place),
        sa.Column("sample", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("bucket", sa.Integer(), nullable=False, autoincrement=False),
        *columns("count"),
        sa.ForeignKeyConstraint(["queue_id"], ["queues.id"]),
        sa.PrimaryKeyConstraint(*(name for name, _ in place), "sample", "bucket"),
    )


def fill() -> None:
    """Gives what is there its place in the history and in the numbers."""
    connection = op.get_bind()
    tables = sa.MetaData()
    tables.reflect(
        connection, only=["queues", "tickets", "ticket_changes", "rollups", "rollup_samples"]
    )
    tickets = tables.tables["tickets"]
    connection.execute(
        tickets.update().values(journey_id=tickets.c.id, arrive_time=tickets.c.create_time)
    )
    for queue in connection.execute(sa.select(tables.tables["queues"])).all():
        fill_history(connection, tables, queue)
        fill_numbers(connection, tables, queue)


def fill_history(
    connection: sa.Connection, tables: sa.MetaData, queue: "sa.Row[tuple[object, ...]]"
) -> None:
    tickets, changes = tables.tables["tickets"], tables.tables["ticket_changes"]
    rows = connection.execute(
        sa.select(
            *(changes.c.ticket_id, changes.c.version, changes.c.status, changes.c.time),
            tickets.c.priority,
        )
        .join(tickets, tickets.c.id == changes.c.ticket_id)
        .where(tickets.c.queue_id == queue.id)
        .order_by(changes.c.time, tickets.c.sequence, changes.c.version)
    ).all()
    before: dict[str, int] = {}
    waiting = 0
    filled = []
    for number, row in enumerate(rows, 1):
        old = before.get(row.ticket_id)
        before[row.ticket_id] = row.status
        waiting += (row.status == WAITING) - (old == WAITING)
        filled.append(
            {
                "of": row.ticket_id,
                "at": row.version,
                "queue_id": queue.id,
                "revision": number,
                "act": 1 if old is None else ENDS.get(row.status) or ACTS[old, row.status],
                "priority": row.priority,
                "waiting": waiting,
            }
        )
    if filled:
        values: dict[str, sa.BindParameter[int]] = {
            name: sa.bindparam(name) for name in filled[0] if name not in ("of", "at")
        }
        connection.execute(
            changes.update()
            .where(
                changes.c.ticket_id == sa.bindparam("of"),
                changes.c.version == sa.bindparam("at"),
            )
            .values(**values),
            filled,
        )
    queues = tables.tables["queues"]
    # Until now the time of the last issue: the history must not go back from what came after it.
    time = max([queue.last_change_time, *(row.time for row in rows)])
    connection.execute(
        queues.update()
        .where(queues.c.id == queue.id)
        .values(revision=len(rows), waiting=waiting, last_change_time=time)
    )


def fill_numbers(
    connection: sa.Connection, tables: sa.MetaData, queue: "sa.Row[tuple[object, ...]]"
) -> None:
    tickets = tables.tables["tickets"]
    zone = datetime.timedelta(hours=UTC_HOURS[queue.time_zone])
    counts: dict[tuple[int, int, str], Counter[str]] = {}
    samples: Counter[tuple[int, int, str, int, int]] = Counter()
    names = {"": ""}
    closed = {DONE: "done", NO_SHOW: "no_show", CANCELLED: "cancelled"}
    for one in connection.execute(sa.select(tickets).where(tickets.c.queue_id == queue.id)):
        counter = one.counter_id or ""
        names[counter] = one.counter_name or ""

        def part(
            moment: datetime.datetime, counter: str, priority: int = one.priority
        ) -> Counter[str]:
            return counts.setdefault(((moment + zone).hour, priority, counter), Counter())

        part(one.create_time, "")["issued"] += 1
        if one.wait_ms is not None:
            moment = one.create_time + datetime.timedelta(milliseconds=one.wait_ms)
            called = part(moment, counter)
            called["called"] += 1
            called["wait_ms"] += one.wait_ms
            called["within_standard"] += one.wait_ms <= 3_600_000
            samples[(moment + zone).hour, one.priority, counter, 1, bucket_of(one.wait_ms)] += 1
        if one.status in closed and one.close_time is not None:
            end = part(one.close_time, counter)
            end[closed[one.status]] += 1
            if one.service_ms is not None:
                end["service_ms"] += one.service_ms
                hour = (one.close_time + zone).hour
                samples[hour, one.priority, counter, 2, bucket_of(one.service_ms)] += 1
    place = ("hour", "priority", "counter_id")
    if counts:
        connection.execute(
            tables.tables["rollups"].insert(),
            [
                {
                    "queue_id": queue.id,
                    **dict(zip(place, key, strict=True)),
                    "counter_name": names[key[2]],
                    **{name: found[name] for name in (*COUNTS, "wait_ms", "service_ms", *COMPARED)},
                }
                for key, found in counts.items()
            ],
        )
    if samples:
        connection.execute(
            tables.tables["rollup_samples"].insert(),
            [
                {
                    "queue_id": queue.id,
                    **dict(zip((*place, "sample", "bucket"), key, strict=True)),
                    "count": count,
                }
                for key, count in samples.items()
            ],
        )


def bucket_of(milliseconds: int) -> int:
    return 0 if milliseconds < 1 else 1 + math.ceil(math.log(milliseconds, 1.01 / 0.99))


def downgrade() -> None:
    with op.batch_alter_table("tickets", schema=None) as batch_op:
        batch_op.drop_index("ix_tickets_journey")
        batch_op.drop_index("ix_tickets_arrivals")
        for name in (
            *("next_id", "previous_id", "arrive_time", "journey_id"),
            *("predicted_high_ms", "predicted_ms", "ground"),
        ):
            batch_op.drop_column(name)
    with op.batch_alter_table("ticket_changes", schema=None) as batch_op:
        batch_op.drop_constraint("fk_ticket_changes_queue", type_="foreignkey")
        batch_op.drop_constraint("uq_ticket_changes_revision", type_="unique")
        for name in ("waiting", "priority", "act", "revision", "queue_id"):
            batch_op.drop_column(name)
    with op.batch_alter_table("queues", schema=None) as batch_op:
        batch_op.alter_column(
            "last_change_time",
            new_column_name="last_issue_time",
            existing_type=TIME,
            existing_nullable=False,
        )
        for name in (
            *("waiting", "revision", "closes", "opens", "standard_minutes"),
            *("rate_low", "rate_normal", "rate_high", "kind"),
        ):
            batch_op.drop_column(name)
    op.drop_table("rollup_samples")
    op.drop_table("rollups")
