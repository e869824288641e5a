"""Lecture 07: OccamNets."""
