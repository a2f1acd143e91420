"""Pages for people: GraphiQL, the API's documentation, the dashboard."""
