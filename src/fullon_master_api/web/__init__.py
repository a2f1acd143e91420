"""Pages for people: GraphiQL and the documentation of the REST routes."""
