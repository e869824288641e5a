"""An executable course companion on bias mitigation in deep learning.

from debias_course import data, evaluate, methods, models, train

splits = data.colored_digits(correlation=0.95)
run = train(models.mlp(splits.train), splits.train, methods.LossReweighting(by="group"), epochs=10)
print(evaluate(run.model, splits.test, train=splits.train))
"""

__version__ = "0.1.0"

from . import data as data
from . import methods as methods
from . import models as models
from .evaluation import evaluate as evaluate
from .study import study as study
from .training import train as train
