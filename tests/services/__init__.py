"""Tests of the collecting services."""
