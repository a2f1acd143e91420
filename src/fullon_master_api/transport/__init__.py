"""GraphQL on the wire: HTTP, WebSocket protocols, the live hub and its outboxes."""
