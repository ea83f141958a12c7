"""Repeated requests (AIP-155): the same request_id gives the same answer.

The answer is remembered in the transaction of the effect.
"""

import datetime
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from google.protobuf.message import Message
from sqlalchemy import Column, LargeBinary, MetaData, String, Table, delete, insert, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mesh.audit_trail.recorder import AuditRecorder
from mesh.background import run_periodically
from mesh.clock import Clock
from mesh.contract.call import current_call
from mesh.encryption.encrypted_columns import EncryptedColumn
from mesh.encryption.field_cipher import DecryptionError, FieldCipher
from mesh.errors import MeshError, reused_request_id
from mesh.persistence.database import Database, UtcDateTime

__all__ = [
    "Idempotency",
    "encrypted_answers",
    "idempotency_table",
    "key_of",
]

Answer = TypeVar("Answer", bound=Message)
KEPT_HOURS = 24
FORGET_SECONDS = 3600.0
RIVALS = 2
"""Unique keys that a unit may lose: one of its effect, and the request's own."""


def idempotency_table(metadata: MetaData) -> Table:
    """Makes the table of remembered answers, for the models of a service."""
    return Table(
        "idempotency",
        metadata,
        Column("scope", String(120), primary_key=True),
        Column("request_id", String(36), primary_key=True),
        Column("fingerprint", String(64), nullable=False),
        Column("answer", LargeBinary(65_535), nullable=False),
        Column("create_time", UtcDateTime(), nullable=False, index=True),
    )


def encrypted_answers(table: Table) -> EncryptedColumn:
    """Describes the column of the answers, for the encrypted columns of a service."""
    return EncryptedColumn(table, "answer", lambda row: _associated_data(row.scope, row.request_id))


def _associated_data(scope: str, request_id: str) -> str:
    return f"{scope}/{request_id}"


def key_of(request: Message, caller: str) -> tuple[str, str]:
    """Returns scope and request_id under which an answer is kept."""
    request_id: str = getattr(request, "request_id")  # noqa: B009
    return f"{request.DESCRIPTOR.full_name}/{caller}", request_id


class Idempotency:
    """Remembers answers by request. Answers are encrypted: they may hold personal data."""

    def __init__(
        self,
        table: Table,
        cipher: FieldCipher,
        database: Database,
        recorder: AuditRecorder | None,
        clock: Clock,
    ) -> None:
        """Keeps answers in `table` of `database`, encrypted by `cipher`.

        Args:
            table: See `idempotency_table`.
            cipher: Encrypts the answers.
            database: The service's database.
            recorder: Where effects are written down. None: nowhere.
            clock: Dates the answers.
        """
        self._table = table
        self._cipher = cipher
        self._database = database
        self._recorder = recorder
        self._clock = clock

    async def once(
        self,
        caller: str,
        request: Message,
        answer: type[Answer],
        work: Callable[[Session], Answer],
    ) -> Answer:
        """Runs a unit of work, unless the request was answered before: then repeats that answer.

        Args:
            caller: Who asks; two callers may choose the same request_id.
            request: A request with a `request_id`. An empty one runs every time.
            answer: Type of the answer.
            work: The effect, in the transaction that also remembers the answer and writes the
                effect down for the audit trail.

        Raises:
            MeshError: ALREADY_EXISTS with REQUEST_ID_REUSED, or what the work raises.
        """
        scope, request_id = key_of(request, caller)
        unit = partial(
            self._replay_or_run, caller=caller, request=request, answer=answer, work=work
        )
        try:
            for _ in range(RIVALS):
                try:
                    return await self._database.write(unit)
                except IntegrityError:
                    # Another unit wrote the same key at the same moment: what it wrote counts.
                    continue
            return await self._database.write(unit)
        except MeshError:
            if not request_id:
                raise
            # The other one may have won earlier: then its effect is what refused this one.
            known = await self._database.read(
                lambda session: self.replay(session, scope, request_id, request, answer)
            )
            if known is None:
                raise
            return known

    def _replay_or_run(
        self,
        session: Session,
        caller: str,
        request: Message,
        answer: type[Answer],
        work: Callable[[Session], Answer],
    ) -> Answer:
        scope, request_id = key_of(request, caller)
        known = self.replay(session, scope, request_id, request, answer)
        if known is not None:
            return known
        made = work(session)
        if self._recorder is not None:
            self._recorder.record_change(session, current_call(), request, made)
        self.remember(session, scope, request_id, request, made)
        return made

    def replay(
        self, session: Session, scope: str, request_id: str, request: Message, answer: type[Answer]
    ) -> Answer | None:
        """Returns the answer that this request was given before; None when it is new.

        Args:
            session: The unit of work that holds the effect.
            scope: Method and caller: two callers may choose the same request_id.
            request_id: Key chosen by the client. Empty: never remembered.
            request: The whole request.
            answer: Type of the answer.

        Raises:
            MeshError: ALREADY_EXISTS with REQUEST_ID_REUSED when another request had this key.
        """
        if not request_id:
            return None
        found = self._answers(session, [(scope, request_id, request)], answer)[0]
        if isinstance(found, MeshError):
            raise found
        return found

    def replay_all(
        self, session: Session, asked: Sequence[tuple[str, Message]], answer: type[Answer]
    ) -> list[Answer | MeshError | None]:
        """Returns what `replay` says of many requests, in one query; an error stands for itself.

        Args:
            session: The unit of work that holds the effects.
            asked: Caller and request of each.
            answer: Type of the answers.
        """
        keys = [(*key_of(request, caller), request) for caller, request in asked]
        return self._answers(session, keys, answer)

    def remember(
        self, session: Session, scope: str, request_id: str, request: Message, answer: Message
    ) -> None:
        """Keeps an answer; a second writer of the same key fails by the primary key."""
        if request_id:
            session.execute(insert(self._table), [self._row(scope, request_id, request, answer)])

    def remember_all(
        self, session: Session, answered: Sequence[tuple[str, Message, Message]]
    ) -> None:
        """Keeps many answers, in one statement.

        Args:
            session: The unit of work that holds the effects.
            answered: Caller, request and answer of each.
        """
        rows = [
            self._row(*key_of(request, caller), request, answer)
            for caller, request, answer in answered
            if key_of(request, caller)[1]
        ]
        if rows:
            session.execute(insert(self._table), rows)

    def _answers(
        self,
        session: Session,
        keys: Sequence[tuple[str, str, Message]],
        answer: type[Answer],
    ) -> list[Answer | MeshError | None]:
        wanted = {(scope, request_id) for scope, request_id, _ in keys if request_id}
        table = self._table
        rows = (
            session.execute(
                select(table).where(tuple_(table.c.scope, table.c.request_id).in_(wanted))
            ).all()
            if wanted
            else ()
        )
        known = {(row.scope, row.request_id): row for row in rows}
        answers: list[Answer | MeshError | None] = []
        for scope, request_id, request in keys:
            row = known.get((scope, request_id))
            if row is None:
                answers.append(None)
            elif row.fingerprint != self._fingerprint(request):
                answers.append(reused_request_id())
            else:
                plain = self._cipher.decrypt(row.answer, _associated_data(scope, request_id))
                answers.append(answer.FromString(plain))
        return answers

    def _row(
        self, scope: str, request_id: str, request: Message, answer: Message
    ) -> dict[str, object]:
        return {
            "scope": scope,
            "request_id": request_id,
            "fingerprint": self._fingerprint(request),
            "answer": self._cipher.encrypt(
                answer.SerializeToString(), _associated_data(scope, request_id)
            ),
            "create_time": self._clock(),
        }

    async def keep_forgetting(self) -> None:
        """Deletes old answers every hour, for ever."""
        await run_periodically(lambda: self._database.write(self.forget_old), FORGET_SECONDS)

    def forget_old(self, session: Session) -> None:
        """Deletes answers older than KEPT_HOURS."""
        oldest = self._clock() - datetime.timedelta(hours=KEPT_HOURS)
        session.execute(delete(self._table).where(self._table.c.create_time < oldest))

    def forget_about(
        self,
        session: Session,
        request: type[Message],
        answer: type[Answer],
        about: Callable[[Answer], bool],
    ) -> None:
        """Deletes the kept answers to one kind of request that are about something.

        Answers are encrypted, and nothing plain tells whom they name: every kept one is opened.

        Args:
            session: The unit of work, which keeps new ones about the same thing from being written.
            request: The kind of request.
            answer: Type of its answers.
            about: Whether an answer goes.
        """
        table, gone = self._table, []
        kept = select(table.c.scope, table.c.request_id, table.c.answer).where(
            table.c.scope.startswith(f"{request.DESCRIPTOR.full_name}/", autoescape=True)
        )
        for row in session.execute(kept):
            try:
                plain = self._cipher.decrypt(
                    row.answer, _associated_data(row.scope, row.request_id)
                )
            except DecryptionError:
                # It tells nobody anything, and must not keep the others from being forgotten.
                continue
            if about(answer.FromString(plain)):
                gone.append((row.scope, row.request_id))
        if gone:
            session.execute(
                delete(table).where(tuple_(table.c.scope, table.c.request_id).in_(gone))
            )

    def _fingerprint(self, request: Message) -> str:
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        return self._cipher.blind_index(digest, "request")
