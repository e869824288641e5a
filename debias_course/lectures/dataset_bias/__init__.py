"""Lecture 00: Dataset bias."""
