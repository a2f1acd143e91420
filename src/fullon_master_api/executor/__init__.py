"""Plans a GraphQL operation once and runs it in batches; knows GraphQL, not trading."""
