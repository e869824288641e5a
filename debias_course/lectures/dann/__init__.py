"""Lecture 09: DANN."""
