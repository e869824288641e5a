"""Claims: every statement of the lecture, measured over seeds, with an interval and a verdict.

verdicts    bands, claims in their circumstances, and what is said of them; `replication` by others' seeds
guesses     a question before its answer, and the table of both
lessons     what a lecture measures, and which claims it makes of it
receipts    what was measured, when and on what; `golden` runs show whether it vouches for the code of today
front_page  the table of all claims in the README
"""

from .circumstances import grid as grid
from .lessons import Lesson as Lesson
from .lessons import measure_topic as measure_topic
from .statements import claim as claim
from .statements import once as once
from .statements import table as table
from .verdicts import Band as Band
from .verdicts import Claim as Claim
from .verdicts import above as above
from .verdicts import below as below
from .verdicts import within as within
