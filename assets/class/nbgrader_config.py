"""nbgrader's settings for this class. `make class` writes this file where it is missing; it is yours to change."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "grading"))
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # for alembic

try:
    from nbgrader.converters import Autograde
    from nbgrader.preprocessors import Execute, OverwriteCells

    from grader import Grader, Restore
except ImportError as error:  # nbgrader would go on with its own settings
    sys.exit(f"the grader cannot be loaded ({error}); activate the environment in which the course is installed")

if hasattr(os, "geteuid") and os.geteuid() == 0:
    print("You grade as root: a submission may delete everything here. See INSTRUCTORS.md.", file=sys.stderr)

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "debias_course"
c.CourseDirectory.root = str(HERE)

c.ClearSolutions.code_stub = {"python": "..."}  # an exercise that is not solved returns None, so Run All passes
c.ClearSolutions.text_stub = "*Your answer*"

first, then = (Autograde.class_traits()[f"{each}_preprocessors"].default() for each in ("sanitize", "autograde"))
first.insert(first.index(OverwriteCells), Restore)
c.Autograde.sanitize_preprocessors = first
c.Autograde.autograde_preprocessors = [Grader if each is Execute else each for each in then]
c.OverwriteCells.add_missing_cells = True  # a test that was deleted comes back

c.Grader.timeout = 120  # seconds for a cell
c.Grader.call_timeout = 20  # seconds for each call of a student's function by a test
c.Grader.open_experiments = True  # False: what an open experiment returns is not trained, and you only read it
# c.ExecutePreprocessor.kernel_name = "debias_sandbox"  # a kernel in a container: see the guide
# c.Grader.package = ""  # and the container's own course
