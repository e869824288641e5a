"""The methods of the course, in the order of its lectures."""

from .base import ERM as ERM
from .base import Knob as Knob
from .base import Method as Method
from .base import knob as knob
from .base import knobs as knobs
from .base import method_name as method_name
from .reweighting import LossReweighting as LossReweighting

METHODS = {method_name(method): method for method in (ERM, LossReweighting)}
