"""Claims: every statement of the lecture, measured over seeds, with an interval and a verdict.

verdicts    bands, claims and what is said of them
lessons     what a lecture measures, and which claims it makes of it
receipts    what was measured, when and on what; `golden` runs show whether it vouches for the code of today
front_page  the table of all claims in the README
"""

from .lessons import Lesson as Lesson
from .lessons import claim as claim
from .lessons import measure_topic as measure_topic
from .verdicts import Band as Band
from .verdicts import Claim as Claim
from .verdicts import above as above
from .verdicts import below as below
from .verdicts import within as within
