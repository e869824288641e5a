"""Lecture 01: Re-weighting the loss."""
