"""Where the exercises were. Goes when no notebook imports it any more."""

from ..lectures.adversarial_training import exercises as adversarial_training  # noqa: F401
from ..lectures.dann import exercises as dann  # noqa: F401
from ..lectures.dataset_bias import exercises as dataset_bias  # noqa: F401
from ..lectures.hard_example_mining import exercises as hard_mining  # noqa: F401
from ..lectures.loss_reweighting import exercises as reweighting  # noqa: F401
from ..lectures.method_comparison import exercises as method_comparison  # noqa: F401
from ..lectures.occam_nets import exercises as occam_nets  # noqa: F401
from ..lectures.sampling import exercises as sampling  # noqa: F401
from ..lectures.smote import exercises as smote  # noqa: F401
from ..lectures.spectral_decoupling import exercises as spectral_decoupling  # noqa: F401
