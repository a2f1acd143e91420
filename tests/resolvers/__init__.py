"""Tests of the resolvers that need no store."""
