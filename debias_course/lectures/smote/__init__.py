"""Lecture 04: SMOTE."""
