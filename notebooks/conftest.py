"""Notebooks are slow tests. nbval compares the words that cells print and the verdicts of claims, not pictures."""


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("text/html", "stderr")
        collector.add_marker("slow")
