"""Verification providers behind one small interface."""
