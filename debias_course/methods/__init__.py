"""The methods of the course, in the order of its lectures."""

from ..checks import Unsuitable as Unsuitable
from ..method import ERM as ERM
from ..method import Knob as Knob
from ..method import Method as Method
from ..method import State as State
from ..method import knob as knob
from ..method import knobs as knobs
from ..method import method_name as method_name
from .adversarial_training import AdversarialTraining as AdversarialTraining
from .dann import DANN as DANN
from .group_dro import GreedyGroupDRO as GreedyGroupDRO
from .group_dro import GroupDRO as GroupDRO
from .hard_mining import DrawnMining as DrawnMining
from .hard_mining import HardMining as HardMining
from .occam_nets import OccamNets as OccamNets
from .occam_nets import UngatedOccamNets as UngatedOccamNets
from .partners.just_train_twice import JustTrainTwice as JustTrainTwice
from .partners.learning_from_failure import LearningFromFailure as LearningFromFailure
from .partners.product_of_experts import LearnedMixin as LearnedMixin
from .partners.product_of_experts import ProductOfExperts as ProductOfExperts
from .partners.rebias import ReBias as ReBias
from .partners.voronoi import VoronoiAlignment as VoronoiAlignment
from .reweighting import EffectiveNumberWeighting as EffectiveNumberWeighting
from .reweighting import LossReweighting as LossReweighting
from .sampling import BatchSampling as BatchSampling
from .sampling import EpochSampling as EpochSampling
from .sampling import OverSampling as OverSampling
from .sampling import UnderSampling as UnderSampling
from .smote import SMOTE as SMOTE
from .smote import InputSMOTE as InputSMOTE
from .spectral_decoupling import ColoredMNISTDecoupling as ColoredMNISTDecoupling
from .spectral_decoupling import SpectralDecoupling as SpectralDecoupling


def _named(*kinds: type[Method]) -> dict[str, type[Method]]:
    return {method_name(kind): kind for kind in kinds}


# The twelve that the lecture compares: "all" on the command line.
LECTURE = _named(
    ERM,
    LossReweighting,
    OverSampling,
    UnderSampling,
    BatchSampling,
    HardMining,
    SMOTE,
    GroupDRO,
    SpectralDecoupling,
    OccamNets,
    AdversarialTraining,
    DANN,
)
# Variants of them have names, too.
METHODS = LECTURE | _named(EffectiveNumberWeighting, DrawnMining, InputSMOTE, GreedyGroupDRO, UngatedOccamNets)
# And those of the lectures beyond.
METHODS |= _named(ProductOfExperts, LearnedMixin, ReBias, LearningFromFailure, JustTrainTwice, VoronoiAlignment)
