"""The tables.

studies
├── items        what can be asked, and how many answers it has or waits for
├── annotators
│   └── assignments   what each person is or was asked, and the answer: the present state
└── events       all that happened, one row each, never changed
operations       analyses that go on without their caller, and their results
"""

from datetime import UTC, datetime

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Instant(TypeDecorator[datetime]):
    """A moment in UTC; SQLite keeps no time zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC."""
        del dialect
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC."""
        del dialect
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """What Alembic compares the history with. Names of constraints are fixed, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class StudyRow(Base):
    """A study that was opened."""

    __tablename__ = "studies"
    __table_args__ = (CheckConstraint("state IN ('open', 'closed')", name="state"),)

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    # Long, and read once for each process.
    protocol: Mapped[str] = mapped_column(Text, deferred=True)
    digest: Mapped[str] = mapped_column(String(64))
    folder: Mapped[str] = mapped_column(Text)
    # Signs invitations and completion codes, and hides the ids of crowd platforms.
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    opened_at: Mapped[datetime] = mapped_column(Instant)
    closed_at: Mapped[datetime | None] = mapped_column(Instant)
    close_reason: Mapped[str] = mapped_column(Text)


class ItemRow(Base):
    """One question that a study can ask."""

    __tablename__ = "items"
    __table_args__ = (
        CheckConstraint("taken >= 0 AND taken <= quota", name="taken"),
        CheckConstraint("unjudged >= 0 AND taken + unjudged <= 2 * quota", name="unjudged"),
        # With what is counted, so that the fill of all cells is read from the index alone.
        Index(None, "study_id", "cell", "taken"),
    )

    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"), primary_key=True)
    picture_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    # Index into the items of the picture.
    item: Mapped[int] = mapped_column(primary_key=True)
    # Index of the item's first cell in the protocol.
    cell: Mapped[int]
    quota: Mapped[int]
    # Votes, and leases that may become one.
    taken: Mapped[int]
    # Answers that are no vote. Each leaves its place to another person, until twice the quota answered.
    unjudged: Mapped[int]


class AnnotatorRow(Base):
    """A person."""

    __tablename__ = "annotators"
    __table_args__ = (
        UniqueConstraint("study_id", "external"),
        UniqueConstraint("study_id", "ordinal"),
        CheckConstraint("state IN ('invited', 'active', 'finished', 'withdrawn')", name="state"),
    )

    id: Mapped[str] = mapped_column(String(22), primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    state: Mapped[str] = mapped_column(String(16))
    # Row of the Latin square, from 0, in the order of consent.
    ordinal: Mapped[int | None]
    # HMAC of the id of a crowd platform.
    external: Mapped[str | None] = mapped_column(String(64))
    invited_until: Mapped[datetime] = mapped_column(Instant)
    consented_at: Mapped[datetime | None] = mapped_column(Instant)
    practised: Mapped[int]
    # The picture whose answer can be undone.
    last_answered: Mapped[str | None] = mapped_column(String(64))


class AssignmentRow(Base):
    """What a person is or was asked. A released one was seen, and may be asked again while its item has room."""

    __tablename__ = "assignments"
    __table_args__ = (
        UniqueConstraint("annotator_id", "picture_id"),
        ForeignKeyConstraint(["study_id", "picture_id", "item"], ["items.study_id", "items.picture_id", "items.item"]),
        CheckConstraint("state IN ('leased', 'answered', 'released')", name="state"),
        CheckConstraint("(state = 'answered') = (answer IS NOT NULL)", name="answer"),
        CheckConstraint("(kind = 'item') = (item IS NOT NULL)", name="item"),
        Index(None, "study_id", "state", "lease_until"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    annotator_id: Mapped[str] = mapped_column(ForeignKey("annotators.id"))
    picture_id: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    # Index into the items of the picture; none for practice and gold.
    item: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(16))
    position: Mapped[int]
    lease_until: Mapped[datetime] = mapped_column(Instant)
    answer: Mapped[str | None] = mapped_column(String(16))
    milliseconds: Mapped[int | None]
    answered_at: Mapped[datetime | None] = mapped_column(Instant)


class EventRow(Base):
    """What happened. Rows are only added; the rows of a person who withdraws are deleted."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("annotator_id", "key"), Index(None, "study_id", "id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id"))
    annotator_id: Mapped[str | None] = mapped_column(ForeignKey("annotators.id"))
    at: Mapped[datetime] = mapped_column(Instant)
    what: Mapped[str] = mapped_column(String(16))
    picture_id: Mapped[str | None] = mapped_column(String(64))
    answer: Mapped[str | None] = mapped_column(String(16))
    # Idempotency key of an answer.
    key: Mapped[str | None] = mapped_column(String(200))
    # Reason of closing.
    note: Mapped[str] = mapped_column(Text)


class OperationRow(Base):
    """An analysis that goes on without its caller. Its request, with the picture, is a file of the server."""

    __tablename__ = "operations"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'running', 'succeeded', 'failed', 'cancelled')", name="state"),
        CheckConstraint("(state = 'succeeded') = (answer IS NOT NULL)", name="answer"),
        CheckConstraint("(state IN ('failed', 'cancelled')) = (error IS NOT NULL)", name="error"),
        Index(None, "caller", "created_at", "id"),
        Index(None, "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(22), primary_key=True)
    # SHA-256 of the key that began it; empty for callers without one.
    caller: Mapped[str] = mapped_column(String(64))
    # Id of the server that runs it.
    server: Mapped[str] = mapped_column(String(22))
    state: Mapped[str] = mapped_column(String(16))
    model: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    request_id: Mapped[str] = mapped_column(String(128))
    # How often it began.
    runs: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(Instant)
    ended_at: Mapped[datetime | None] = mapped_column(Instant)
    expires_at: Mapped[datetime] = mapped_column(Instant)
    # A google.rpc.Status.
    error: Mapped[bytes | None] = mapped_column(LargeBinary)
    # An AnalyzeResponse of up to 64 MB.
    answer: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
