"""Lecture 08: Adversarial training."""
