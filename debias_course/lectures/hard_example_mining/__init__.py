"""Lecture 03: Hard example mining."""
