"""Lecture 05: Group DRO."""
