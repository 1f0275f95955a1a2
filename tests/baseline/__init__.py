"""Frozen headline figures: CI fails when a number moves."""
