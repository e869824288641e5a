"""What lecture 07 measures of OccamNets."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import joblib
import torch

from ... import data, models
from ...claims import Lesson, above, below, claim, within
from ...data import Splits
from ...evaluation import predict
from ...methods import ERM, Method, OccamNets, UngatedOccamNets
from ...methods.occam_nets import OccamNet, ask_exits, leave_by
from ...training import pick_device, train

SETTINGS: dict[str, Any] = dict(batch_size=64, lr=0.01)


def digits(seed: int) -> Splits:
    return data.half_size(data.colored_digits(classes=10, aligned_share=0.95, seed=seed))


def examined(method: Method, seed: int, epochs: int) -> dict[Any, Any]:
    """Train and test: shares of right answers of aligned and conflicting digits, and by which exit they leave."""
    part = digits(seed)
    test = part.test
    chosen_by: dict[str, Any] = dict(epochs=epochs, validation=part.validation, select="validation-mean")
    start = models.staged(part.train, seed=seed)
    run = train(start, part.train, method, seed=seed, **chosen_by, **SETTINGS)
    each_group = torch.tensor(run.history["accuracy"].tolist()).view(-1, 10, 10)
    own = each_group.diagonal(dim1=1, dim2=2).sum(1)
    values: dict[Any, Any] = {"by epoch": ((each_group.sum((1, 2)) - own) / 90).tolist()}  # conflicting, on validation
    right = {"tested": predict(run.model, test).argmax(1).cpu() == test.labels}
    kinds = {"aligned": test.labels == test.attributes, "conflicting": test.labels != test.attributes}
    if isinstance(run.model, OccamNet):
        said = ask_exits(run.model, test)
        hits, chosen = said.logits.argmax(2) == test.labels, leave_by(said.gates, 0.5)
        right |= {f"exit {e}": each for e, each in enumerate(hits)} | {"threshold 0.5": hits.gather(0, chosen[None])[0]}
        values |= {("depth", kind): float(chosen[rows].float().mean()) for kind, rows in kinds.items()}
        closed = torch.sigmoid(-ask_exits(run.model, part.train).gates)
        weights = closed / closed.amax(1, keepdim=True) + 0.1  # row e is of exit e + 1
        values["moved"] = (weights[:, part.train.labels != part.train.attributes].sum(1) / weights.sum(1)).tolist()
    return values | {
        (what, kind): float(hit[rows].float().mean()) for what, hit in right.items() for kind, rows in kinds.items()
    }


class OccamNetsLesson(Lesson):
    topic = "07_occam_nets"

    @cached_property
    def found(self) -> dict[tuple[str, int], dict[Any, Any]]:
        """By network and seed, what `examined` says. Of 15 epochs, or 30 on the full budget, the one with the best
        accuracy on validation is tested; networks without gates or suppression are for the full budget only."""
        methods = {"plain": ERM(), "OccamNet": OccamNets(live_epochs=5, threshold=0.95)}
        if self.budget == "full":
            methods["no gates"] = UngatedOccamNets()
            methods["no suppression"] = OccamNets(live_epochs=5, threshold=0.95, suppression=0.0)
        epochs = 15 if self.budget == "quick" else 30
        work = [(name, seed) for name in reversed(methods) for seed in self.seeds]  # those that take long come first
        workers = joblib.Parallel(n_jobs=-1 if pick_device().type == "cpu" else 1)
        values = workers(joblib.delayed(examined)(methods[name], seed, epochs) for name, seed in work)
        return dict(zip(work, values))

    def share(self, name: str, what: str, seed: int, kind: str = "conflicting") -> float:
        return self.found[name, seed][what, kind]

    @claim(
        "L07.1b",
        "Exit 0 takes on the bias, without labels of it: it is right on more aligned than conflicting digits, by "
        "seventy points",
        holds=above(0.70),
    )
    def bias_of_exit_0(self, seed: int) -> float:
        return self.share("OccamNet", "exit 0", seed, "aligned") - self.share("OccamNet", "exit 0", seed)

    @claim(
        "L07.2a",
        "At a threshold of one half, conflicting digits leave later than aligned ones, by a quarter of an exit or more",
        holds=above(0.25),
    )
    def delay_of_conflicting_digits(self, seed: int) -> float:
        return self.share("OccamNet", "depth", seed) - self.share("OccamNet", "depth", seed, "aligned")

    @claim(
        "L07.2b",
        "They have reason to: the last exit is right on more of them than the one before, by five points or more",
        holds=above(0.05),
    )
    def gain_by_the_last_exit(self, seed: int) -> float:
        return self.share("OccamNet", "exit 2", seed) - self.share("OccamNet", "exit 1", seed)

    @claim(
        "L07.1a",
        "Without labels of the bias, the OccamNet and the plain network are right on as many conflicting digits, "
        "within ten points",
        holds=within(-0.10, 0.10),
        costly=True,
    )
    def gain_over_the_plain_network(self, seed: int) -> float:
        return self.share("OccamNet", "tested", seed) - self.share("plain", "tested", seed)

    @claim(
        "B07.3a",
        "With the paper's threshold of one half, the same networks are right on fewer conflicting digits",
        holds=below(0.0),
        costly=True,
    )
    def loss_by_the_papers_threshold(self, seed: int) -> float:
        return self.share("OccamNet", "threshold 0.5", seed) - self.share("OccamNet", "tested", seed)

    @claim(
        "B07.3b",
        "With no gates at test, when all leave by the last exit, they are within five points of what they are with "
        "strict ones",
        holds=within(-0.05, 0.05),
    )
    def gain_by_no_gates_at_test(self, seed: int) -> float:
        return self.share("OccamNet", "exit 2", seed) - self.share("OccamNet", "tested", seed)

    @claim(
        "B07.3c",
        "Trained without gates, the last exit is within ten points of the OccamNet's",
        holds=within(-0.10, 0.10),
        costly=True,
    )
    def gain_by_no_gates(self, seed: int) -> float:
        return self.share("no gates", "exit 2", seed) - self.share("OccamNet", "exit 2", seed)

    @claim(
        "B07.3d",
        "Trained without suppression, it is within ten points, too",
        holds=within(-0.10, 0.10),
        costly=True,
    )
    def gain_by_no_suppression(self, seed: int) -> float:
        return self.share("no suppression", "exit 2", seed) - self.share("OccamNet", "exit 2", seed)

    @claim(
        "B07.4a",
        "Gate 0 moves little: of exit 1's weights, the conflicting digits have less than a tenth",
        holds=below(0.10),
    )
    def moved_by_gate_0(self, seed: int) -> float:
        return self.found["OccamNet", seed]["moved"][0]

    @claim(
        "B07.4b",
        "Gate 1 moves more, but not much: of exit 2's weights, they have less than a quarter",
        holds=below(0.25),
    )
    def moved_by_gate_1(self, seed: int) -> float:
        return self.found["OccamNet", seed]["moved"][1]

    def early(self, name: str, seed: int) -> float:
        """The mean over the first six epochs."""
        return sum(self.found[name, seed]["by epoch"][:6]) / 6

    @claim(
        "B07.4c",
        "It learns no sooner: over the first six epochs it leads the plain network by less than five points, if at all",
        holds=below(0.05),
    )
    def early_lead(self, seed: int) -> float:
        return self.early("OccamNet", seed) - self.early("plain", seed)
