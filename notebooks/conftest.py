"""Notebooks are slow tests. nbval compares the words that cells print and the verdicts of claims, not pictures."""

import os

os.environ.pop("DEBIAS_COURSE_SOLVED", None)  # a test solves nothing for a student


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("text/html", "stderr")
        collector.add_marker("slow")
