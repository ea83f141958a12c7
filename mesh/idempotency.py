"""Repeated requests (AIP-155): the same request_id gives the same answer.

The answer is remembered in the transaction of the effect.
"""

import datetime
import hashlib
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message
from sqlalchemy import Column, LargeBinary, MetaData, String, Table, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mesh.crypto import FieldCipher
from mesh.errors import Kind, MeshError
from mesh.storage import Database, UtcDateTime

Answer = TypeVar("Answer", bound=Message)
KEPT_HOURS = 24
RIVALS = 2
"""Unique keys that a unit may lose: one of its effect, and the request's own."""


def idempotency_table(metadata: MetaData) -> Table:
    """The table of remembered answers, for the models of a service."""
    return Table(
        "idempotency",
        metadata,
        Column("scope", String(120), primary_key=True),
        Column("request_id", String(36), primary_key=True),
        Column("fingerprint", String(64), nullable=False),
        Column("answer", LargeBinary(65_535), nullable=False),
        Column("create_time", UtcDateTime(), nullable=False, index=True),
    )


class Idempotency:
    """Remembers answers by request. Answers are encrypted: they may hold personal data."""

    def __init__(self, table: Table, cipher: FieldCipher, database: Database) -> None:
        """Keeps answers in `table` of `database`, sealed by `cipher`."""
        self._table = table
        self._cipher = cipher
        self._database = database

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
            work: The effect, in the transaction that also remembers the answer.

        Raises:
            MeshError: ALREADY_EXISTS with REQUEST_ID_REUSED, or what the work raises.
        """
        scope = f"{request.DESCRIPTOR.full_name}/{caller}"
        request_id: str = getattr(request, "request_id")  # noqa: B009

        def unit(session: Session) -> Answer:
            known = self.replay(session, scope, request_id, request, answer)
            if known is not None:
                return known
            made = work(session)
            self.remember(session, scope, request_id, request, made)
            return made

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

    def replay(
        self, session: Session, scope: str, request_id: str, request: Message, answer: type[Answer]
    ) -> Answer | None:
        """The answer that this request was given before; None when it is new.

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
        table = self._table
        row = session.execute(
            select(table.c.fingerprint, table.c.answer).where(
                table.c.scope == scope, table.c.request_id == request_id
            )
        ).one_or_none()
        if row is None:
            return None
        if row.fingerprint != self._fingerprint(request):
            raise MeshError(
                "this request_id belongs to another request",
                Kind.ALREADY_EXISTS,
                "REQUEST_ID_REUSED",
            )
        return answer.FromString(self._cipher.decrypt(row.answer, f"{scope}/{request_id}"))

    def remember(
        self, session: Session, scope: str, request_id: str, request: Message, answer: Message
    ) -> None:
        """Keeps an answer; a second writer of the same key fails by the primary key."""
        if not request_id:
            return
        session.execute(
            insert(self._table).values(
                scope=scope,
                request_id=request_id,
                fingerprint=self._fingerprint(request),
                answer=self._cipher.encrypt(answer.SerializeToString(), f"{scope}/{request_id}"),
                create_time=datetime.datetime.now(datetime.UTC),
            )
        )

    def forget_old(self, session: Session) -> None:
        """Deletes answers older than KEPT_HOURS."""
        oldest = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=KEPT_HOURS)
        session.execute(delete(self._table).where(self._table.c.create_time < oldest))

    def _fingerprint(self, request: Message) -> str:
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        return self._cipher.blind_index(digest, "request")
