"""Panels: a method's fields become widgets, and a lecture's picture follows them.

`panels` has what all share; the other modules draw for the lecture whose name they have (and `dataset_bias` for the two
after it, too).
"""

from .adversarial_training import draw_adversarial_training as draw_adversarial_training
from .adversarial_training import fit_digits as fit_digits
from .comparison import COMPARED as COMPARED
from .comparison import draw_comparison as draw_comparison
from .comparison import duel_figure as duel_figure
from .dann import draw_dann as draw_dann
from .dataset_bias import draw_digits as draw_digits
from .dataset_bias import draw_shortcut as draw_shortcut
from .dataset_bias import fit_shortcut as fit_shortcut
from .group_dro import draw_group_dro as draw_group_dro
from .hard_mining import draw_mining as draw_mining
from .occam_nets import draw_occam_nets as draw_occam_nets
from .occam_nets import exits_figure as exits_figure
from .occam_nets import fit_occam as fit_occam
from .panels import Panel as Panel
from .panels import control as control
from .panels import panel as panel
from .smote import draw_smote as draw_smote
from .spectral_decoupling import draw_moons as draw_moons
