"""Studies, their items, the people in them, and what they answered."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "studies",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("opened_at", _INSTANT, nullable=False),
        sa.Column("closed_at", _INSTANT, nullable=True),
        sa.Column("close_reason", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'closed')", name=op.f("ck_studies_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
    )
    op.create_table(
        "annotators",
        sa.Column("id", sa.String(22), nullable=False),
        sa.Column("study_id", sa.String(80), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=True),
        sa.Column("external", sa.String(64), nullable=True),
        sa.Column("invited_until", _INSTANT, nullable=False),
        sa.Column("consented_at", _INSTANT, nullable=True),
        sa.Column("practised", sa.Integer(), nullable=False),
        sa.Column("last_answered", sa.String(64), nullable=True),
        sa.CheckConstraint("state IN ('invited', 'active', 'finished', 'withdrawn')", name=op.f("ck_annotators_state")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_annotators_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotators")),
        sa.UniqueConstraint("study_id", "external", name=op.f("uq_annotators_study_id_external")),
        sa.UniqueConstraint("study_id", "ordinal", name=op.f("uq_annotators_study_id_ordinal")),
    )
    op.create_table(
        "items",
        sa.Column("study_id", sa.String(80), nullable=False),
        sa.Column("picture_id", sa.String(64), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("cell", sa.Integer(), nullable=False),
        sa.Column("quota", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("unjudged", sa.Integer(), nullable=False),
        sa.CheckConstraint("taken >= 0 AND taken <= quota", name=op.f("ck_items_taken")),
        sa.CheckConstraint("unjudged >= 0 AND taken + unjudged <= 2 * quota", name=op.f("ck_items_unjudged")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_items_study_id")),
        sa.PrimaryKeyConstraint("study_id", "picture_id", "item", name=op.f("pk_items")),
    )
    op.create_index(op.f("ix_items_study_id_cell_taken"), "items", ["study_id", "cell", "taken"])
    op.create_table(
        "assignments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.String(80), nullable=False),
        sa.Column("annotator_id", sa.String(22), nullable=False),
        sa.Column("picture_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("item", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("lease_until", _INSTANT, nullable=False),
        sa.Column("answer", sa.String(16), nullable=True),
        sa.Column("milliseconds", sa.Integer(), nullable=True),
        sa.Column("answered_at", _INSTANT, nullable=True),
        sa.CheckConstraint("(kind = 'item') = (item IS NOT NULL)", name=op.f("ck_assignments_item")),
        sa.CheckConstraint("(state = 'answered') = (answer IS NOT NULL)", name=op.f("ck_assignments_answer")),
        sa.CheckConstraint("state IN ('leased', 'answered', 'released')", name=op.f("ck_assignments_state")),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_assignments_annotator_id")),
        sa.ForeignKeyConstraint(
            ["study_id", "picture_id", "item"],
            ["items.study_id", "items.picture_id", "items.item"],
            name=op.f("fk_assignments_study_id_picture_id_item"),
        ),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_assignments_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sa.UniqueConstraint("annotator_id", "picture_id", name=op.f("uq_assignments_annotator_id_picture_id")),
    )
    op.create_index(
        op.f("ix_assignments_study_id_state_lease_until"), "assignments", ["study_id", "state", "lease_until"]
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.String(80), nullable=False),
        sa.Column("annotator_id", sa.String(22), nullable=True),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("picture_id", sa.String(64), nullable=True),
        sa.Column("answer", sa.String(16), nullable=True),
        sa.Column("key", sa.String(200), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotators.id"], name=op.f("fk_events_annotator_id")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_events_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("annotator_id", "key", name=op.f("uq_events_annotator_id_key")),
    )
    op.create_index(op.f("ix_events_study_id_id"), "events", ["study_id", "id"])
