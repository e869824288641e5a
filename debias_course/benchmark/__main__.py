"""python -m debias_course.benchmark"""

from . import main

main()
