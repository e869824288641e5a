"""Lecture 11: a partner that is wrong on purpose."""
