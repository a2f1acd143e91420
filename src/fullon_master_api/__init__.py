"""Fullon Master API: the front door of the Fullon trading platform."""
