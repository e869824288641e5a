"""Arguments of the methods that make no sense: each ends in one sentence of ours that says what to do instead."""

import re
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import debias_course
from debias_course import models
from debias_course.data import GroupedData, toys
from debias_course.methods import (
    DANN,
    METHODS,
    SMOTE,
    AdversarialTraining,
    BatchSampling,
    ColoredMNISTDecoupling,
    DrawnMining,
    EffectiveNumberWeighting,
    EpochSampling,
    GreedyGroupDRO,
    GroupDRO,
    HardMining,
    InputSMOTE,
    JustTrainTwice,
    LearnedMixin,
    LearningFromFailure,
    LossReweighting,
    OccamNets,
    OverSampling,
    ProductOfExperts,
    ReBias,
    SpectralDecoupling,
    UnderSampling,
    VoronoiAlignment,
)
from debias_course.methods.adversarial_training import attack, fgsm, robust_evaluate
from debias_course.methods.dann import fooled, frozen_features, probe, reverse
from debias_course.methods.hard_mining import drawn_by_loss, hardest
from debias_course.methods.neighbours import neighbours
from debias_course.methods.occam_nets import OccamNet, ask_exits
from debias_course.methods.partners.just_train_twice import error_weights, with_copies
from debias_course.methods.partners.learning_from_failure import generalised_cross_entropy
from debias_course.methods.partners.networks import stacked, weak
from debias_course.methods.partners.product_of_experts import product_losses
from debias_course.methods.partners.rebias import gaussian, hsic, median_distance
from debias_course.methods.partners.voronoi import alignment_weights, centroids, distances, information
from debias_course.methods.reweighting import effective_number, inverse_frequency, normalise
from debias_course.methods.sampling import draw_batches, draw_epoch, quotas
from debias_course.methods.smote import smote
from debias_course.methods.spectral_decoupling import penalty, single_logit

TOY = toys.shortcut(n=40)
MODEL = models.linear(TOY.train)
X, LABELS = torch.rand(12, 2), torch.tensor([0] * 9 + [1] * 3)
LOSSES = torch.rand(6)
ORDER, COUNTS = torch.arange(5), torch.tensor([3, 2])
HUGE = torch.arange(100)
SHARES = torch.tensor([0.5, 0.5])
NAN, INF = float("nan"), float("inf")


def seeded():
    return torch.Generator().manual_seed(0)


def called(function, *given, **defaults):
    """function(*given, **defaults | change), as a function of what is changed."""
    return lambda change: function(*given, **defaults | change)


def made(**change):
    return smote(change.pop("x", X), change.pop("labels", LABELS), **change)


def attacked(**change):
    given = dict(model=MODEL, inputs=X, labels=LABELS) | change
    return attack(given.pop("model"), given.pop("inputs"), given.pop("labels"), **given)


def evaluated(**change):
    given = dict(model=MODEL, data=TOY.test) | change
    return robust_evaluate(given.pop("model"), given.pop("data"), **given)


of_smote = called(made, generator=seeded())
of_attack = called(attacked, radius=0.1, random_start=False)
of_evaluation = called(evaluated, radius=0.1, steps=1)
of_epoch = called(draw_epoch, order=ORDER, counts=COUNTS, targets=COUNTS, generator=seeded())
of_batches = called(draw_batches, order=ORDER, counts=COUNTS, seats=COUNTS[None], generator=seeded())
of_quotas = called(quotas, shares=SHARES, batch_size=4, batches=2)
IMAGES = GroupedData(torch.rand(12, 1, 4, 4), LABELS, LABELS, ("a", "b"), ("x", "y"))
of_product = called(product_losses, logits=torch.zeros(12, 2), partner=torch.zeros(12, 2), labels=LABELS)
of_hsic = called(hsic, one=torch.rand(6, 6), other=torch.rand(6, 6))
of_penalty = called(penalty, logits=torch.zeros(12, 2), labels=LABELS)


def of(kind):
    return called(kind)


TABLE = [
    # fields of the methods: wrong type, out of range, unknown choice
    (
        of(LossReweighting),
        dict(by="colour"),
        "LossReweighting.by is 'colour'; use one of 'group', 'label', 'attribute'",
    ),
    (of(LossReweighting), dict(by=None), "LossReweighting.by is None; use one of"),
    (of(LossReweighting), dict(by=["group"]), "LossReweighting.by is ['group']; use one of"),
    (of(LossReweighting), dict(normalize=np.array(["samples", "none"])), "normalize is array("),
    (of(LossReweighting), dict(normalize=True), "LossReweighting.normalize is True; use one of"),
    (of(LossReweighting), dict(power=3), "LossReweighting.power is 3; use a number from 0 to 2"),
    (of(LossReweighting), dict(power="1"), "LossReweighting.power is '1'; use a number from 0 to 2"),
    (of(LossReweighting), dict(power=None), "LossReweighting.power is None; use a number"),
    (of(LossReweighting), dict(power=True), "LossReweighting.power is True; use a number"),
    (of(LossReweighting), dict(power=[1.0]), "LossReweighting.power is [1.0]; use a number"),
    (of(LossReweighting), dict(power=np.array([1.0])), "LossReweighting.power is array([1.]); use a number"),
    (of(LossReweighting), dict(power=torch.ones(1)), "LossReweighting.power is tensor([1.]); use a number"),
    (of(LossReweighting), dict(power=1 + 0j), "LossReweighting.power is (1+0j); use a number"),
    (
        of(EffectiveNumberWeighting),
        dict(beta=NAN),
        "EffectiveNumberWeighting.beta is nan; use a number from 0 to 0.9999",
    ),
    (of(LossReweighting), dict(smooth=INF), "LossReweighting.smooth is inf; use a number from 0 to 100"),
    (of(LossReweighting), dict(smooth=10**400), "LossReweighting.smooth is an int; use a number from 0 to 100"),
    (of(LossReweighting), dict(smooth=torch.rand(30, 30)), "LossReweighting.smooth is a Tensor; use a number"),
    (
        of(EpochSampling),
        dict(counts="12"),
        "EpochSampling.counts are '12'; give one whole number from 0 per population",
    ),
    (of(EpochSampling), dict(counts=None), "EpochSampling.counts are None; give one whole number"),
    (of(EpochSampling), dict(counts=5), "EpochSampling.counts are 5; give one whole number"),
    (of(EpochSampling), dict(counts=(1.5, 2)), "EpochSampling.counts are (1.5, 2); give one whole number"),
    (of(EpochSampling), dict(counts=torch.tensor([1.0, 2.0])), "EpochSampling.counts are tensor([1., 2.]); give one"),
    (of(EpochSampling), dict(counts=np.ones((2, 2), dtype=int)), "EpochSampling.counts are a ndarray; give one whole"),
    (of(EpochSampling), dict(counts={"a": 1}), "EpochSampling.counts are {'a': 1}; give one whole number"),
    (of(OverSampling), dict(counts=(-1, 2)), "OverSampling.counts are (-1, 2); give one whole number from 0"),
    (of(OverSampling), dict(repeats="copy"), "OverSampling.repeats is 'copy'; use one of 'copies', 'random'"),
    (of(UnderSampling), dict(subset="new"), "UnderSampling.subset is 'new'; use one of 'redrawn', 'fixed'"),
    (of(BatchSampling), dict(shares="half"), "BatchSampling.shares are 'half'; give one number from 0 per population"),
    (of(BatchSampling), dict(shares=(0.5, NAN)), "BatchSampling.shares are (0.5, nan); give one number from 0"),
    (of(BatchSampling), dict(shares=0.5), "BatchSampling.shares are 0.5; give one number from 0"),
    (of(BatchSampling), dict(length=3), "BatchSampling.length is 3; use one of 'data', 'all', 'shortest'"),
    (of(HardMining), dict(keep=0), "HardMining.keep is 0; use a number from 0.01 to 1"),
    (of(HardMining), dict(keep=True), "HardMining.keep is True; use a number"),
    (of(HardMining), dict(passes="three"), "HardMining.passes is 'three'; use one of 'two', 'one'"),
    (of(DrawnMining), dict(correct="yes"), "DrawnMining.correct is 'yes'; use True or False"),
    (of(HardMining), dict(warm_up=1.5), "HardMining.warm_up is 1.5; use a whole number from 0 to 20"),
    (of(HardMining), dict(warm_up=-1), "HardMining.warm_up is -1; use a whole number"),
    (of(SMOTE), dict(k="auto"), "SMOTE.k is 'auto'; use a whole number from 0 to 20"),
    (of(SMOTE), dict(counts=["a", "b"]), "SMOTE.counts are ['a', 'b']; give one whole number"),
    (of(InputSMOTE), dict(by="pixel"), "InputSMOTE.by is 'pixel'; use one of 'label', 'group'"),
    (of(GroupDRO), dict(adjustments="ab"), "GroupDRO.adjustments are 'ab'; give one number from 0 per group"),
    (of(GroupDRO), dict(adjustments=(True, 1.0)), "GroupDRO.adjustments are (True, 1.0); give one number"),
    (of(GroupDRO), dict(adjustments=[[1.0]]), "GroupDRO.adjustments are [[1.0]]; give one number"),
    (of(GroupDRO), dict(adjustments=(1.0,), adjustment=1.0), "give these, or a single `adjustment`, not both"),
    (of(GroupDRO), dict(step_size=0), "GroupDRO.step_size is 0; use a number from 0.0001 to 1"),
    (of(GroupDRO), dict(sampling="even"), "GroupDRO.sampling is 'even'; use one of 'balanced', 'plain'"),
    (of(GreedyGroupDRO), dict(alpha=0), "GreedyGroupDRO.alpha is 0; use a number from 0.01 to 1"),
    (of(GreedyGroupDRO), dict(adjustments=(1.0,), adjustment=1.0), "give these, or a single `adjustment`, not both"),
    (of(SpectralDecoupling), dict(strength=-0.1), "SpectralDecoupling.strength is -0.1; use a number from 0 to 10"),
    (
        of(SpectralDecoupling),
        dict(offsets=(INF, 0)),
        "SpectralDecoupling.offsets are (inf, 0); give one number per class",
    ),
    (of(SpectralDecoupling), dict(offsets="0"), "SpectralDecoupling.offsets are '0'; give one number per class"),
    (of(ColoredMNISTDecoupling), dict(last_factor=2e-5), "ColoredMNISTDecoupling.last_factor is 2e-05; use True or"),
    (of(OccamNets), dict(exits="heavy"), "OccamNets.exits is 'heavy'; use one of 'published', 'light'"),
    (of(OccamNets), dict(threshold=1.1), "OccamNets.threshold is 1.1; use a number from 0 to 1"),
    (of(OccamNets), dict(live_epochs="1"), "OccamNets.live_epochs is '1'; use a whole number"),
    (of(AdversarialTraining), dict(radius=-1), "AdversarialTraining.radius is -1; use a number from 0 to 3"),
    (of(AdversarialTraining), dict(steps=2.5), "AdversarialTraining.steps is 2.5; use a whole number from 0 to 50"),
    (of(AdversarialTraining), dict(norm="L1"), "AdversarialTraining.norm is 'L1'; use one of 'max', 'L2'"),
    (of(AdversarialTraining), dict(random_start=1), "random_start is 1; use True or False"),
    (of(DANN), dict(width=0), "DANN.width is 0; use a whole number from 1 to 500"),
    (of(DANN), dict(layer=2), "DANN.layer is 2; give the name of a submodule of `model.features`, such as '2'"),
    (of(DANN), dict(labelled="none"), "DANN.labelled is 'none'; use one of 'all', 'first domain'"),
    (
        of(ProductOfExperts),
        dict(partner="small"),
        "partner is 'small'; use one of 'pointwise', 'coarse'",
    ),
    (of(ProductOfExperts), dict(width=0), "ProductOfExperts.width is 0; use a whole number from 1 to 256"),
    (of(ProductOfExperts), dict(alone=-1), "ProductOfExperts.alone is -1; use a number from 0 to 10"),
    (of(ProductOfExperts), dict(partner_epochs=0), "partner_epochs is 0; use a whole number from 1 to 100"),
    (of(LearnedMixin), dict(entropy=NAN), "LearnedMixin.entropy is nan; use a number from 0 to 10"),
    (of(ReBias), dict(strength="a"), "ReBias.strength is 'a'; use a number from 0 to 100"),
    (of(ReBias), dict(bandwidth=1), "ReBias.bandwidth is 1; use one of 'one', 'median'"),
    (of(LearningFromFailure), dict(q=1.5), "LearningFromFailure.q is 1.5; use a number from 0 to 1"),
    (of(LearningFromFailure), dict(decay=1), "LearningFromFailure.decay is 1; use a number from 0 to 0.99"),
    (of(JustTrainTwice), dict(upweight=2.5), "JustTrainTwice.upweight is 2.5; use a whole number from 1 to 500"),
    (of(JustTrainTwice), dict(counted="both"), "JustTrainTwice.counted is 'both'; use one of 'copies', 'weights'"),
    (of(JustTrainTwice), dict(first_epochs=0), "JustTrainTwice.first_epochs is 0; use a whole number from 1 to 100"),
    (of(VoronoiAlignment), dict(strength=-1), "VoronoiAlignment.strength is -1; use a number from 0 to 20"),
    (of(VoronoiAlignment), dict(first_epochs=0.5), "first_epochs is 0.5; use a whole number from 1 to 200"),
    # SMOTE
    (of_smote, dict(x=X.numpy()), "x is a ndarray; give a tensor of samples [n, ...], such as torch.as_tensor(x)"),
    (of_smote, dict(x=None), "x is None; give a tensor of samples"),
    (of_smote, dict(x=X.tolist()), "x is a list; give a tensor of samples"),
    (of_smote, dict(x=X.int()), "the samples are torch.int32, between which there are no points; give x.float()"),
    (of_smote, dict(x=X[:, 0]), "x has the shape (12,); give [n, d, ...]"),
    (of_smote, dict(x=X / 0), "the samples hold NaN or infinite values"),
    (of_smote, dict(labels=LABELS.numpy()), "give a tensor [n], such as torch.as_tensor(labels)"),
    (of_smote, dict(labels=LABELS.tolist()), "give a tensor [n], such as torch.as_tensor(labels)"),
    (of_smote, dict(labels=None), "labels is None; give a tensor [n]"),
    (of_smote, dict(labels=LABELS.float()), "labels is of torch.float32; give integers, such as labels.long()"),
    (of_smote, dict(labels=LABELS > 0), "labels is of torch.bool; give integers, such as labels.long()"),
    (of_smote, dict(labels=LABELS - 1), "the lowest label is -1; number the populations from 0"),
    (of_smote, dict(labels=LABELS[:5]), "12 samples with 5 labels; give one label for each"),
    (of_smote, dict(labels=LABELS[:, None]), "labels has the shape (12, 1); give [n]"),
    (of_smote, dict(k=True), "k is True; use a whole number from 1, or 'auto'"),
    (of_smote, dict(k=1.5), "k is 1.5; use a whole number from 1, or 'auto'"),
    (of_smote, dict(k="all"), "k is 'all'; use a whole number from 1, or 'auto'"),
    (of_smote, dict(k=np.array([1, 2])), "k is array([1, 2]); use a whole number from 1, or 'auto'"),
    (of_smote, dict(generator=3), "generator is 3; give torch.Generator().manual_seed(0)"),
    (of_smote, dict(counts="99"), "counts are '99'; give one whole number per population"),
    (of_smote, dict(counts=(9.5, 9)), "counts are (9.5, 9); give one whole number per population"),
    (of_smote, dict(counts=(9, 9, 9)), "counts are (9, 9, 9); give one whole number for each of the 2 populations"),
    (of_smote, dict(interpolation=0.5), "interpolation is 0.5; use one of 'random', 'middle', 'repeat'"),
    (of_smote, dict(base=None), "base is None; use one of 'random', 'even'"),
    (called(neighbours, k=2), dict(x=X.numpy()), "x is a ndarray; give a tensor [n, d]"),
    (called(neighbours, k=2), dict(x=X.int()), "x is of torch.int32; give floating-point numbers, such as x.float()"),
    (called(neighbours, x=X), dict(k=2.0), "k is 2.0; use a whole number"),
    (called(neighbours, x=X), dict(k=12), "each of 12 samples has 11 neighbours; k is 12, use 1 to 11"),
    (called(SMOTE().enlarge), dict(data=TOY), "give GroupedData, one part of a data set"),
    (called(SMOTE().enlarge), dict(data=None), "data is None; give GroupedData, one part of a data set"),
    # attacks
    (of_attack, dict(model=None), "model is None; give a network, such as models.mlp(splits.train)"),
    (of_attack, dict(model=models.linear), "give a network, such as models.mlp(splits.train)"),
    (of_attack, dict(model=nn.Flatten(0)), "the model returns (24,); it should return logits [12, n_labels]"),
    (of_attack, dict(inputs=X.numpy()), "inputs is a ndarray; give a tensor [B, ...]"),
    (of_attack, dict(inputs=X.byte()), "inputs are torch.uint8; a step of part of a pixel needs float images"),
    (of_attack, dict(inputs=X + 1), "and clipping to [0.0, 1.0] would move them by more than the radius"),
    (of_attack, dict(labels=LABELS.float()), "labels is of torch.float32; give integers, such as labels.long()"),
    (of_attack, dict(labels=LABELS + 1), "labels range from 1 to 2, and the model knows 0 to 1; give it an output"),
    (of_attack, dict(labels=LABELS - 1), "labels range from -1 to 0, and the model knows 0 to 1"),
    (of_attack, dict(labels=LABELS[:3]), "12 inputs with 3 labels; give one label for each"),
    (of_attack, dict(labels=LABELS.tolist()), "give a tensor [B], such as torch.as_tensor(labels)"),
    (of_attack, dict(labels=0), "labels is 0; give a tensor [B]"),
    (of_attack, dict(radius="a"), "radius is 'a'; use a number from 0, in units of the inputs"),
    (of_attack, dict(radius=None), "radius is None; use a number from 0"),
    (of_attack, dict(radius=True), "radius is True; use a number from 0"),
    (of_attack, dict(radius=torch.ones(12)), "use a number from 0, in units of the inputs"),
    (of_attack, dict(step_size="b"), "step_size is 'b'; use a number from 0"),
    (of_attack, dict(steps=True), "steps is True; use a whole number from 0"),
    (of_attack, dict(steps=None), "steps is None; use a whole number from 0"),
    (of_attack, dict(restarts=0), "restarts is 0; use a whole number from 1"),
    (of_attack, dict(norm=None), "norm is None; use one of 'max', 'L2'"),
    (of_attack, dict(norm=2), "norm is 2; use one of 'max', 'L2'"),
    (of_attack, dict(random_start="no"), "random_start is 'no'; give True or False"),
    (of_attack, dict(random_start=True), "a random start draws; pass generator=torch.Generator()"),
    (of_attack, dict(generator=0), "generator is 0; give torch.Generator().manual_seed(0)"),
    (of_attack, dict(clip=None), "clip are None; give one number per end, or True for [0, 1], or False for none"),
    (of_attack, dict(clip=(1.0, 0.0)), "clip is (1.0, 0.0); give two numbers, the lower one first"),
    (of_attack, dict(clip=(0.0,)), "clip is (0.0,); give two numbers, the lower one first"),
    (called(fgsm, MODEL, X, LABELS), dict(radius=NAN), "radius is nan; use a number from 0"),
    (of_evaluation, dict(data=None), "data is None; give GroupedData, one part of a data set"),
    (of_evaluation, dict(data=TOY), "give GroupedData, one part of a data set"),
    (of_evaluation, dict(model=None), "model is None; give a network"),
    (of_evaluation, dict(seed="a"), "seed is 'a'; use a whole number from 0"),
    (of_evaluation, dict(batch_size=0), "batch_size is 0; use a whole number from 1"),
    (of_evaluation, dict(steps=1.0), "steps is 1.0; use a whole number from 0"),
    # hard mining
    (called(hardest, keep=1), dict(losses=None), "losses is None; give a tensor [N], such as torch.as_tensor(losses)"),
    (called(hardest, keep=1), dict(losses=[0.1, 0.2]), "losses is [0.1, 0.2]; give a tensor [N]"),
    (called(hardest, keep=1), dict(losses=LOSSES[None]), "losses has the shape (1, 6); give [N]"),
    (called(hardest, LOSSES), dict(keep=1.0), "keep is 1.0; use a whole number"),
    (called(hardest, LOSSES), dict(keep=True), "keep is True; use a whole number"),
    (called(hardest, LOSSES), dict(keep=7), "7 of 6 samples cannot be kept; keep at least one and at most all of them"),
    (called(drawn_by_loss, LOSSES, 2), dict(generator=1), "generator is 1; give torch.Generator().manual_seed(0)"),
    (called(drawn_by_loss, LOSSES / 0, 2), dict(), "the losses of samples [0, 1, 2, 3, 4] of the batch are not finite"),
    # sampling
    (of_epoch, dict(order=[0, 1, 2, 3, 4]), "order is [0, 1, 2, 3, 4]; give a tensor [n]"),
    (of_epoch, dict(counts=COUNTS.float()), "counts is of torch.float32; give integers, such as counts.long()"),
    (
        of_epoch,
        dict(counts=COUNTS + 1),
        "5 indices, counts of 2 populations with sum 7, and targets of 2; give a count",
    ),
    (
        of_epoch,
        dict(counts=torch.tensor([5, 0])),
        "counts are [5, 0]; targets are from 0, and 0 where there is no sample",
    ),
    (of_epoch, dict(targets=torch.tensor([3])), "and targets of 1; give a count and a number of targets for each"),
    (of_epoch, dict(targets=torch.tensor([3, -1])), "targets are from 0, and 0 where there is no sample to draw"),
    (of_epoch, dict(targets=None), "targets is None; give a tensor [C]"),
    (of_epoch, dict(generator=None), "generator is None; give torch.Generator().manual_seed(0)"),
    (of_batches, dict(seats=COUNTS), "seats has the shape (2,); give [batches, C]"),
    (of_batches, dict(seats=COUNTS[None] / 2), "seats is of torch.float32; give integers, such as seats.long()"),
    (of_batches, dict(order=HUGE), "100 indices, counts of 2 populations with sum 5, and seats of 2"),
    (of_quotas, dict(shares=(0.5, 0.5)), "shares is (0.5, 0.5); give a tensor [C], such as torch.as_tensor(shares)"),
    (of_quotas, dict(shares=SHARES * 2), "shares are [1.0, 1.0]; give numbers from 0 with sum 1"),
    (of_quotas, dict(shares=torch.tensor([1.5, -0.5])), "shares are [1.5, -0.5]; give numbers from 0 with sum 1"),
    (of_quotas, dict(batch_size=1.5), "batch_size is 1.5; use a whole number from 1"),
    (of_quotas, dict(batches=0), "batches is 0; use a whole number from 1"),
    # weights
    (called(inverse_frequency), dict(counts=[3, 2]), "counts is [3, 2]; give a tensor [C]"),
    (called(inverse_frequency), dict(counts="3"), "counts is '3'; give a tensor [C]"),
    (called(inverse_frequency), dict(counts=-COUNTS), "counts are [-3, -2]; give numbers of samples, from 0"),
    (called(inverse_frequency, COUNTS), dict(power=None), "power is None; use a number"),
    (called(effective_number, COUNTS), dict(beta=1.5), "beta is 1.5; use a number from 0 to 1"),
    (called(normalise, SHARES, COUNTS), dict(over="classes"), "over is 'classes'; use one of 'samples', 'populations'"),
    # spectral decoupling
    (of_penalty, dict(logits=torch.zeros(12)), "logits has the shape (12,); give [B, C]"),
    (of_penalty, dict(logits=None), "logits is None; give a tensor [B, C]"),
    (of_penalty, dict(labels=LABELS.float()), "labels is of torch.float32; give integers, such as labels.long()"),
    (of_penalty, dict(labels=LABELS[:4]), "12 rows of logits with 4 labels; give one label for each"),
    (of_penalty, dict(variant=None), "variant is None; use one of 'margin', 'all', 'sum', 'true'"),
    (of_penalty, dict(offsets="ab"), "offsets are 'ab'; give one number per class"),
    (of_penalty, dict(per_class="no"), "per_class is 'no'; give True or False"),
    (called(single_logit), dict(data=None), "data is None; give GroupedData, one part of a data set"),
    # partners
    (of_product, dict(logits=torch.zeros(12)), "logits has the shape (12,); give [B, C]"),
    (of_product, dict(partner=None), "partner is None; give a tensor [B, C]"),
    (of_product, dict(partner=torch.zeros(12, 3)), "logits (12, 2), partner (12, 3) and labels (12,); give"),
    (
        of_product,
        dict(labels=LABELS[:4]),
        "and labels (4,); give [B, C], [B, C] and [B]",
    ),
    (of_product, dict(labels=LABELS.float()), "labels is of torch.float32; give integers, such as labels.long()"),
    (called(weak, TOY.train, width=8), dict(kind="small"), "kind is 'small'; use one of 'pointwise', 'coarse'"),
    (called(weak, TOY.train, "coarse"), dict(width=0), "width is 0; use a whole number from 1"),
    (called(weak, kind="coarse", width=8), dict(data=X), "give GroupedData, one part of a data set"),
    (
        called(weak, TOY.train, width=8),
        dict(kind="pointwise"),
        "need images [N, C, H, W], not inputs (40, 2)",
    ),
    (called(stacked, TOY.train), dict(kernel=7), "need images [N, C, H, W], not inputs (40, 2)"),
    (called(stacked, IMAGES), dict(kernel=2), "kernel is 2; use one of 1, 3, 5, 7"),
    (called(stacked, IMAGES), dict(widths=()), "widths is (); use a tuple of whole numbers, such as (16, 32)"),
    (called(stacked, IMAGES), dict(widths=(16, 0)), "widths[1] is 0; use a whole number from 1"),
    (called(stacked, IMAGES), dict(stride=0), "stride is 0; use a whole number from 1"),
    (of_hsic, dict(one=None), "one is None; give a tensor [n, n]"),
    (of_hsic, dict(one=LOSSES), "one has the shape (6,); give [n, n]"),
    (of_hsic, dict(other=torch.rand(5, 5)), "kernels (6, 6) and (5, 5); give two of [n, n]"),
    (of_hsic, dict(one=torch.rand(6, 2)), "kernels (6, 2) and (6, 6); give two of [n, n]"),
    (of_hsic, dict(one=torch.rand(3, 3), other=torch.rand(3, 3)), "HSIC without bias needs four samples in a batch"),
    (called(gaussian, X), dict(sigma=0), "sigma is 0; use a number from 1e-12, in units of the features"),
    (called(gaussian), dict(x=X.int()), "x is of torch.int32; give floating-point numbers, such as x.float()"),
    (called(median_distance), dict(x=LOSSES), "x has the shape (6,); give [n, d]"),
    (called(generalised_cross_entropy, q=0.7), dict(losses=[1.0]), "losses is [1.0]; give a tensor [B, ...]"),
    (called(generalised_cross_entropy, LOSSES), dict(q=-0.1), "q is -0.1; use a number from 0 to 1"),
    (called(with_copies, times=2), dict(errors=[True]), "errors is [True]; give a tensor [N]"),
    (called(with_copies, times=2), dict(errors=LABELS), "errors is of torch.int64; give True for a sample that is got"),
    (called(with_copies, LABELS > 0), dict(times=0), "times is 0; use a whole number from 1"),
    (called(error_weights, LABELS > 0), dict(times=0.5), "times is 0.5; use a number from 1"),
    (
        called(centroids, X, LABELS, n_labels=2),
        dict(right=LABELS[:4] > 0),
        "labels, right have 12, 12, 4 rows",
    ),
    (called(centroids, labels=LABELS, right=LABELS > 0, n_labels=2), dict(features=LOSSES), "has the shape (6,); give"),
    (called(distances, X, LABELS, LABELS), dict(centers=None), "centers is None; give a tensor [C, d]"),
    (
        called(alignment_weights, LABELS, n_labels=2),
        dict(bias=LABELS[:4]),
        "labels, bias have 12, 4 rows; give",
    ),
    (
        called(information, bias=LABELS, counted=LABELS > 0),
        dict(logits=LOSSES),
        "logits has the shape (6,); give [B, C]",
    ),
    # exits and domains
    (called(OccamNet, n_labels=2), dict(trunk=None), "NoneType has no such stages; use models.staged"),
    (called(ask_exits, data=TOY.test), dict(model=MODEL), "give the `model` of a run with OccamNets"),
    (called(reverse, X), dict(strength=-1), "strength is -1; use a number from 0: the layer itself brings the minus"),
    (called(reverse, X), dict(strength=None), "strength is None; use a number from 0"),
    (called(probe, fit=TOY.validation, test=TOY.test), dict(model=None), "model is None; give a network"),
    (called(probe, MODEL, test=TOY.test), dict(fit=None), "data is None; give GroupedData, one part of a data set"),
    (called(probe, MODEL, TOY.validation), dict(test=TOY), "give GroupedData, one part of a data set"),
    (called(probe, MODEL, TOY.validation, TOY.test), dict(method=0), "method is 0; give the method that the model was"),
    (called(frozen_features, DANN(), MODEL), dict(data=X), "give GroupedData, one part of a data set"),
    (
        called(fooled, DANN, MODEL, None),
        dict(data=TOY.test),
        "give the method that the model was trained with, such as",
    ),
]


@pytest.mark.parametrize("call, change, words", TABLE)
def test_an_argument_that_makes_no_sense_ends_in_a_sentence_of_ours(call, change, words):
    with pytest.raises((ValueError, TypeError, FloatingPointError), match=re.escape(words)) as raised:
        call(change)
    where = traceback.extract_tb(raised.tb)[-1].filename
    assert Path(where).is_relative_to(Path(debias_course.__file__).parent), f"raised in {where}"


@pytest.mark.parametrize("kind", METHODS.values(), ids=METHODS)
def test_a_field_that_does_not_exist_is_named(kind):
    with pytest.raises(TypeError, match="unexpected keyword argument 'powr'"):
        kind(powr=1.0)
