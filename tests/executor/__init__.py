"""Tests of the room that runs operations."""
