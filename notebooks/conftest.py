"""What nbval compares: the words that cells print and the verdicts of claims, not pictures and digits."""


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("text/html", "stderr")
