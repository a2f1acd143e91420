"""Trusted documents: GraphQL texts that the platform's own clients send, known by their SHA-256."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import delete, insert, select

from fullon_master_api.apis.orm.database import Database
from fullon_master_api.apis.orm.paging import FIRST_MAX
from fullon_master_api.apis.orm.tables import utc_now
from fullon_master_api.apis.orm.tables_services import trusted_documents
from fullon_master_api.model import Record


class TrustedDocument(Record, frozen=True, kw_only=True):
    """One document; `name` is that of its operation, or of the file it came from."""

    sha256: str
    name: str
    text: str
    created_at: datetime


_COLUMNS: Final = [trusted_documents.c[name] for name in TrustedDocument.__struct_fields__]


class TrustedDocuments:
    """For the platform alone: who may run `fullon documents` may change them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def text_of(self, sha256: str) -> str | None:
        """The text with that hash (64 lower-case hexadecimal digits); None where it is not trusted."""
        async with self._database.read() as connection:
            text: str | None = await connection.scalar(
                select(trusted_documents.c.text).where(trusted_documents.c.sha256 == sha256)
            )
        return text

    async def add(self, documents: Mapping[str, tuple[str, str]]) -> int:
        """Trust these: hash to (name, text). How many of them were new; one that is there already stays as it is."""
        async with self._database.write() as write:
            await write.lock("trusted documents")
            there = set(
                await write.connection.scalars(
                    select(trusted_documents.c.sha256).where(trusted_documents.c.sha256.in_(list(documents)))
                )
            )
            rows = [
                {"sha256": sha256, "name": name, "text": text, "created_at": utc_now()}
                for sha256, (name, text) in documents.items()
                if sha256 not in there
            ]
            if rows:
                await write.connection.execute(insert(trusted_documents), rows)
                await write.audit(None, "documents.add", f"{len(rows)} documents", hashes=[row["sha256"] for row in rows])
        return len(rows)

    async def page(self, *, after: str = "", first: int = FIRST_MAX) -> list[TrustedDocument]:
        """Documents whose hash is greater than `after`, by hash; at most `first`."""
        statement = select(*_COLUMNS).where(trusted_documents.c.sha256 > after).order_by(trusted_documents.c.sha256).limit(first)
        async with self._database.read() as connection:
            return [TrustedDocument(**row._mapping) for row in await connection.execute(statement)]

    async def remove(self, hashes: Sequence[str]) -> list[str]:
        """Trust these no longer; the hashes that were trusted until now."""
        async with self._database.write() as write:
            statement = delete(trusted_documents).where(trusted_documents.c.sha256.in_(hashes))
            gone = list(await write.connection.scalars(statement.returning(trusted_documents.c.sha256)))
            if gone:
                await write.audit(None, "documents.remove", f"{len(gone)} documents", hashes=gone)
        return gone
