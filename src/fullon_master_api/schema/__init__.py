"""What may be asked in GraphQL: Strawberry types by noun."""
