"""What decides a result, as a hash: values with everything that they hold, and code with everything that it reaches.

    fingerprint(method, augment, training.train)

Equal fingerprints mean equal behaviour. A function counts with its instructions, defaults, closure and attributes, and
with what its names stand for: functions, classes, tables, tensors, and of a module the attributes that it may read. A
class counts with its parents and everything in it; an object with its class and all its fields, whatever its repr
shows. Comments, docstrings, line numbers, addresses and the order of a set do not count.

Code of installed packages is known by its name and version and is not looked into. What cannot be known is refused
with a `NoFingerprint` that says where it is: a lock, a file, a running generator, code that calls eval.
"""

from .values import fingerprint, reached
from .walk import NoFingerprint

__all__ = ["NoFingerprint", "fingerprint", "reached"]
