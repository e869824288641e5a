"""Lecture 10: Method comparison."""
