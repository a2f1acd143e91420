"""The three APIs: stores and their callables, strangers to one another."""
