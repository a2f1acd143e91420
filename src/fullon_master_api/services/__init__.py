"""The collecting services and the manager that owns them."""
