"""What a terminal shows of a running server, asked for through its GraphQL API."""
