"""Operations: analyses that go on without their caller."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "operations",
        sa.Column("id", sa.String(22), nullable=False),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("server", sa.String(22), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("error", sa.LargeBinary(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_operations_state")
        ),
        sa.CheckConstraint("(state = 'succeeded') = (answer IS NOT NULL)", name=op.f("ck_operations_answer")),
        sa.CheckConstraint(
            "(state IN ('failed', 'cancelled')) = (error IS NOT NULL)", name=op.f("ck_operations_error")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
    )
    op.create_index(op.f("ix_operations_caller_created_at_id"), "operations", ["caller", "created_at", "id"])
    op.create_index(op.f("ix_operations_expires_at"), "operations", ["expires_at"])
