"""The SQL of the baseline: the statements that queue_svc sends, as text."""


def insert(table: str, *columns: str) -> str:
    """Returns an INSERT of one row with named values."""
    values = ", ".join(f"%({column})s" for column in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608


FIND_ANSWER = "SELECT * FROM idempotency WHERE (scope, request_id) IN ((%(scope)s, %(request_id)s))"
FIND_QUEUE = (
    "SELECT id FROM queues WHERE institution_id = %(institution_id)s "
    "AND service_id = %(service_id)s AND day = %(day)s"
)
LOCK_QUEUE = "SELECT * FROM queues WHERE id = %(queue_id)s FOR UPDATE"
FIND_OPEN_TICKET = (
    "SELECT open_patient_id, id FROM tickets "
    "WHERE queue_id = %(queue_id)s AND open_patient_id IN (%(patient_id)s)"
)
INSERT_TICKET = insert(
    "tickets",
    *("id", "queue_id", "sequence", "number", "patient_id", "open_patient_id", "priority"),
    *("ground", "status", "version", "calls", "queue_time", "create_time", "update_time"),
    *("journey_id", "arrive_time", "predicted_ms", "predicted_high_ms"),
)
INSERT_CHANGE = insert(
    "ticket_changes",
    *("ticket_id", "version", "queue_id", "revision", "act", "status", "priority", "waiting"),
    *("time", "actor", "counter_id", "counter_name"),
)
COUNTS = (
    *("issued", "called", "done", "no_show", "cancelled", "transferred", "within_standard"),
    *("wait_ms", "service_ms", "compared", "within_ten_minutes", "under_upper_bound"),
)
ADD_TO_ROLLUP = (
    insert("rollups", "queue_id", "hour", "priority", "counter_id", "counter_name", *COUNTS)
    + " ON DUPLICATE KEY UPDATE counter_name = VALUES(counter_name), "
    + ", ".join(f"{name} = {name} + VALUES({name})" for name in COUNTS)
)
ADD_SAMPLE = (
    insert(
        "rollup_samples", "queue_id", "hour", "priority", "counter_id", "sample", "bucket", "count"
    )
    + " ON DUPLICATE KEY UPDATE count = count + VALUES(count)"
)
UPDATE_QUEUE_ISSUED = (
    "UPDATE queues SET last_number = %(sequence)s, revision = %(revision)s, "
    "waiting = %(waiting)s, last_change_time = %(time)s WHERE id = %(queue_id)s"
)
INSERT_EVENT, INSERT_AUDIT = (
    insert(table, "event_id", "topic", "payload", "create_time")
    for table in ("outbox", "audit_outbox")
)
INSERT_ANSWER = insert("idempotency", "scope", "request_id", "fingerprint", "answer", "create_time")
SELECT_HEADS = " UNION ALL ".join(
    f"SELECT * FROM (SELECT * FROM tickets WHERE queue_id = %(queue_id)s AND status = 1 "  # noqa: S608
    f"AND priority = {priority} ORDER BY queue_time, sequence LIMIT 1) AS head{priority}"
    for priority in (1, 2, 3, 4)
)
UPDATE_TICKET_CALLED = (
    "UPDATE tickets SET status = %(status)s, version = version + 1, calls = calls + 1, "
    "update_time = %(time)s, call_time = %(time)s, counter_id = %(counter_id)s, "
    "counter_name = %(counter_name)s, wait_ms = %(wait_ms)s "
    "WHERE id = %(ticket_id)s AND version = %(before)s"
)
UPDATE_QUEUE_CALLED = (
    "UPDATE queues SET last_called_number = %(number)s, last_call_time = %(time)s, "
    "revision = %(revision)s, waiting = %(waiting)s, last_change_time = %(time)s "
    "WHERE id = %(queue_id)s"
)
