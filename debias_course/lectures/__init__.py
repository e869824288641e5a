"""The lectures, one folder each: what is measured (`measurements`), the panel, and the exercises.

`panels` and `exercises` have what all share. A lecture is found by its folder, which has the name of its notebook
without the number.
"""
