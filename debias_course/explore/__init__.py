"""Where the panels were. Goes when no notebook imports it any more."""

from ..lectures.adversarial_training.panel import draw_adversarial_training as draw_adversarial_training
from ..lectures.adversarial_training.panel import fit_digits as fit_digits
from ..lectures.dann.panel import draw_dann as draw_dann
from ..lectures.dataset_bias.panel import draw_digits as draw_digits
from ..lectures.dataset_bias.panel import draw_shortcut as draw_shortcut
from ..lectures.dataset_bias.panel import fit_shortcut as fit_shortcut
from ..lectures.hard_example_mining.panel import draw_mining as draw_mining
from ..lectures.method_comparison.panel import COMPARED as COMPARED
from ..lectures.method_comparison.panel import draw_comparison as draw_comparison
from ..lectures.method_comparison.panel import duel_figure as duel_figure
from ..lectures.occam_nets.panel import draw_occam_nets as draw_occam_nets
from ..lectures.occam_nets.panel import exits_figure as exits_figure
from ..lectures.occam_nets.panel import fit_occam as fit_occam
from ..lectures.panels import Panel as Panel
from ..lectures.panels import control as control
from ..lectures.panels import panel as panel
from ..lectures.smote.panel import draw_smote as draw_smote
from ..lectures.spectral_decoupling.panel import draw_moons as draw_moons
