"""Operations sent by the hash of their text: automatic persisted queries, trusted documents, the allow-list.

Sources: Apollo's protocol of automatic persisted queries; the GraphQL-over-HTTP specification, appendix "Persisted Documents".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from time import monotonic
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from fullon_master_api.errors import BadUserInput, Forbidden, GatewayError, PersistedQueryNotFound, PersistedQueryNotSupported
from fullon_master_api.executor.answers import DocumentError, refusal
from fullon_master_api.executor.documents import Key, Recent
from fullon_master_api.model import Principal
from fullon_master_api.settings import Settings
from fullon_master_api.transport.protocols import Operation

FindDocument = Callable[[str], Awaitable[str | None]]
"""The trusted text of a hash; None where it is not trusted."""

KNOWN_S: Final = 5.0
"""How long a trusted document may be used after it was removed."""
KNOWN_MAX: Final = 2_000


def _text_bytes(_key: Key, text: str) -> int:
    return len(text)


def _trusted_bytes(_key: Key, known: tuple[float, str]) -> int:
    return len(known[1])


class PersistedDocuments:
    """Finds the text of an operation that came with a hash, and turns away what is not trusted where only that may run.

    `own` are the documents of this server's pages, by their SHA-256: they are always trusted.
    """

    def __init__(
        self, settings: Settings, find: FindDocument | None = None, own: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._find = find
        self._own = own
        self.trusted_only = settings.trusted_documents_only
        self._automatic = settings.persisted_queries_max > 0 and not self.trusted_only
        bytes_max = settings.persisted_queries_bytes_max
        self._length_max = settings.document_bytes_max
        self._sent: Recent[str] = Recent(settings.persisted_queries_max, bytes_max, _text_bytes)
        self._trusted: Recent[tuple[float, str]] = Recent(KNOWN_MAX, bytes_max, _trusted_bytes)

    async def read(self, operation: Operation, principal: Principal | None) -> Operation:
        """The operation with its text, where it came with a hash or only what is trusted may run. DocumentError where it may not.

        An admin is not bound to trusted documents: GraphiQL is for them.
        """
        try:
            return await self._read(operation, principal)
        except GatewayError as error:
            raise DocumentError([refusal(error.code, error.message)]) from error

    async def _read(self, operation: Operation, principal: Principal | None) -> Operation:
        text, given = operation.query, operation.document_id
        if not text:
            assert given is not None
            return replace(operation, query=await self._text_of(given))
        found = sha256(text.encode()).hexdigest()
        if given is not None and found != given:
            raise BadUserInput("the hash must be the SHA-256 of the document that was sent, as UTF-8")
        bound = self.trusted_only and not (principal is not None and principal.is_admin)
        if bound and await self._trusted_text(found) is None:
            raise Forbidden("this server runs trusted documents only: have this one added to them")
        if given is not None and self._automatic and len(text) <= self._length_max:
            self._sent.put((given, None), text)
        return operation

    async def _text_of(self, document_id: str) -> str:
        text = self._sent.get((document_id, None)) or await self._trusted_text(document_id)
        if text is not None:
            return text
        # The words are part of Apollo's protocol: its clients look for them.
        if self._automatic or self.trusted_only:
            raise PersistedQueryNotFound("PersistedQueryNotFound")
        raise PersistedQueryNotSupported("PersistedQueryNotSupported")

    async def _trusted_text(self, document_id: str) -> str | None:
        own = self._own.get(document_id)
        if own is not None or self._find is None:
            return own
        key, now_s = (document_id, None), monotonic()
        known = self._trusted.get(key)
        if known is not None and now_s < known[0]:
            return known[1]
        text = await self._find(document_id)
        if text is None:
            self._trusted.take(key)
        else:
            self._trusted.put(key, (now_s + KNOWN_S, text))
        return text
