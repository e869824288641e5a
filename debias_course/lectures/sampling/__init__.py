"""Lecture 02: Sampling."""
