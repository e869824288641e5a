"""Lecture 06: Spectral decoupling."""
