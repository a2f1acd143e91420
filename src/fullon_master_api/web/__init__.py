"""Pages for people: the dashboard, GraphiQL and the documentation of the REST routes."""
