"""Services, leases, commands, the outbox and the audit trail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fullon_master_api.apis.orm.columns import Id, UtcTime

revision = "0004"
down_revision = "0003"


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("audit_id", Id, autoincrement=True, nullable=False),
        sa.Column("uid", Id, nullable=True),
        sa.Column("mail", sa.String(length=80), nullable=True),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_action"), "audit", ["action"], unique=False)
    op.create_index(op.f("ix_audit_subject"), "audit", ["subject"], unique=False)
    op.create_index(op.f("ix_audit_uid"), "audit", ["uid"], unique=False)


def _create_event_floors() -> None:
    op.create_table(
        "event_floors",
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("sequence", Id, nullable=False),
        sa.PrimaryKeyConstraint("topic", name=op.f("pk_event_floors")),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("sequence", Id, autoincrement=True, nullable=False),
        sa.Column("topic", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_created_at"), "events", ["created_at"], unique=False)
    op.create_index(op.f("ix_events_topic_sequence"), "events", ["topic", "sequence"], unique=False)


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("owner", sa.String(length=120), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )


def _create_services() -> None:
    op.create_table(
        "services",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("desired", sa.String(20), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("observed_generation", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("heartbeat_ms", sa.BigInteger(), nullable=True),
        sa.Column("started_at", UtcTime(), nullable=True),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_at", UtcTime(), nullable=True),
        sa.Column("feeds", sa.Text(), nullable=False),
        sa.CheckConstraint("desired IN ('RUNNING', 'STOPPED')", name=op.f("ck_services_desired_known")),
        sa.CheckConstraint(
            "state IN ('STOPPED', 'STARTING', 'RUNNING', 'DEGRADED', 'STOPPING', 'FAILED', 'CRASH_LOOP')",
            name=op.f("ck_services_state_known"),
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_services")),
    )


def _create_commands() -> None:
    op.create_table(
        "commands",
        sa.Column("command_id", Id, autoincrement=True, nullable=False),
        sa.Column("service", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("ex_id", Id, nullable=False),
        sa.Column("order_id", Id, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("finished_at", UtcTime(), nullable=True),
        sa.CheckConstraint("kind IN ('place_order', 'cancel_order')", name=op.f("ck_commands_kind_known")),
        sa.CheckConstraint("state IN ('pending', 'taken', 'done', 'failed')", name=op.f("ck_commands_state_known")),
        sa.ForeignKeyConstraint(["ex_id"], ["exchanges.ex_id"], name=op.f("fk_commands_ex_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.order_id"], name=op.f("fk_commands_order_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("command_id", name=op.f("pk_commands")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_commands_ex_id"), "commands", ["ex_id"], unique=False)
    op.create_index(op.f("ix_commands_order_id"), "commands", ["order_id"], unique=False)
    op.create_index(op.f("ix_commands_service_state_command_id"), "commands", ["service", "state", "command_id"], unique=False)


def upgrade() -> None:
    _create_audit()
    _create_event_floors()
    _create_events()
    _create_leases()
    _create_services()
    _create_commands()
    _name_services()


def downgrade() -> None:
    for table in ("commands", "services", "leases", "events", "event_floors", "audit"):
        op.drop_table(table)


def _name_services() -> None:
    """The four services of the platform, stopped until someone starts them."""
    names = [{"name": name} for name in ("ticker", "ohlcv", "account", "health_monitor")]
    stopped = {"desired": "STOPPED", "generation": 0, "observed_generation": 0, "state": "STOPPED", "restarts": 0, "feeds": "[]"}
    services = sa.table("services", *(sa.column(word) for word in ("name", *stopped)))
    op.bulk_insert(services, [row | stopped for row in names])
    leases = sa.table("leases", *(sa.column(word) for word in ("name", "epoch", "expires_ms")))
    op.bulk_insert(leases, [row | {"epoch": 0, "expires_ms": 0} for row in names])
