"""Code of the library, shown in a notebook."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any


def source(*things: Any) -> Any:
    """The source of functions, methods or classes, highlighted."""
    from IPython.display import Code

    return Code("\n\n".join(textwrap.dedent(inspect.getsource(each)).rstrip() for each in things), language="python")
