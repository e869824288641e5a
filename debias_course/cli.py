"""The entry of the command line: what can go wrong around a command ends in one sentence and an exit code.

    0    done
    1    done, and a claim does not hold, or a folder has problems
    2    something is wrong with the command, its data or the machine
    130  stopped with Ctrl-C

The commands are imported inside `main`, which takes seconds: Ctrl-C is understood before that.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time

STOPPED = "\ndebias-course: stopped; finished runs are kept, the same command goes on from there\n"


class CtrlC:
    """What Ctrl-C does to the program. While the command is imported, it ends at once: an exception would come up in
    the code of others. Once the command runs, it ends in order, as a KeyboardInterrupt, and pressing again (people do)
    changes nothing for a while, in which worker processes are sent home."""

    PATIENCE = 5.0  # seconds
    running, last = False, -math.inf

    def __call__(self, *_: object) -> None:
        if not self.running:
            os.write(2, STOPPED.encode())
            os._exit(130)
        before, self.last = self.last, time.monotonic()
        if self.last - before > self.PATIENCE:
            raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """Run a command: that of the program, or `argv`, which leaves Ctrl-C to the caller."""
    open_streams()
    ctrl_c, own = CtrlC(), argv is None
    if own:
        signal.signal(signal.SIGINT, ctrl_c)
    try:
        from .commands import run

        ctrl_c.running = True
        code = run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        if own:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(STOPPED, end="", file=sys.stderr)
        return 130
    except BrokenPipeError:  # as in: debias-course list | head
        return 0
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"debias-course: {error}", file=sys.stderr)
        return 2
    finally:
        drop_what_cannot_be_printed()


def open_streams() -> None:
    """Put the null device where a stream is closed, as by `>&-`: Python has None there, and the next file that somebody
    opens would take its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))
    if hasattr(sys.stdout, "reconfigure"):  # not in a notebook
        sys.stdout.reconfigure(errors="replace")  # a terminal without Greek letters


def drop_what_cannot_be_printed() -> None:
    """Flush; where that fails, put the null device in the place of the output, so that Python does not try again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
