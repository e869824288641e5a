"""study: paired, cached, interrupted and continued."""

import functools
import importlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from functools import partial

import joblib
import numpy as np
import pytest
import torch

from debias_course import figures, models, study
from debias_course.cache import cache_folder
from debias_course.comparison import SEARCH_SEED, compare
from debias_course.data import Splits, toys
from debias_course.methods import ERM, LossReweighting, knob
from debias_course.study import Study, in_workers, mean_over_seeds, parse_seeds
from debias_course.study.jobs import Job, keyed

WORKERS = sys.modules["debias_course.study.workers"]

METHODS = {"plain": ERM(), "weighted": LossReweighting()}
small = partial(study, data=partial(toys.shortcut, n=80), model=models.linear, epochs=2, n_jobs=1, progress=False)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path))


def key(method=METHODS["plain"], model=models.linear, **settings):
    """The key of one run."""
    job = Job("m", method, partial(toys.shortcut, n=80), model, 0, tuple(sorted(settings.items())), "cpu")
    return next(keyed([job])).key


def kept():
    return sorted((cache_folder() / "runs").glob("*.json"))


@pytest.mark.parametrize(
    "seeds, expected",
    [(3, [0, 1, 2]), ("2", [0, 1]), ("100:103", [100, 101, 102]), ([7, 5], [7, 5]), (range(2), [0, 1])],
)
def test_seeds_are_a_count_or_a_range(seeds, expected):
    assert parse_seeds(seeds) == expected


@pytest.mark.parametrize("seeds", ["five", "5:", "5:5", 0, "-1:3", [1, 1]])
def test_bad_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match="seeds are"):
        parse_seeds(seeds)


def test_interval_of_a_mean_by_hand():
    """1, 2, 3: mean 2, s = 1, t with 2 degrees of freedom 4.302653."""
    mean = mean_over_seeds([1, 2, 3])
    assert mean.value == 2 and mean.high - 2 == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)
    assert mean.n == 3 and mean_over_seeds([1.0]).low == -math.inf


def test_equal_values_have_exact_bounds_where_they_are_shares_and_none_otherwise():
    """3 of 3 · 100: at least 0.025^(1 / 300). 0.1 of 5 · 1000 is 500 of 5000."""
    from scipy.stats import binomtest

    for values in ([0.1] * 5, [0.0] * 5, [0.5] * 2):
        assert mean_over_seeds(values)[1:3] == (-math.inf, math.inf)
    assert str(mean_over_seeds([0.1] * 5)) == "0.100 (5 seeds, all alike: no interval)"
    assert str(mean_over_seeds([0.1])) == "0.100 (1 seed)"
    assert mean_over_seeds([1.0] * 3, trials=100)[1:3] == (pytest.approx(0.025 ** (1 / 300)), 1.0)
    expected = binomtest(500, 5000).proportion_ci(method="exact")
    assert mean_over_seeds([0.1] * 5, trials=1000)[1:3] == pytest.approx((expected.low, expected.high))
    assert mean_over_seeds([0.1, 0.2], trials=1000) == mean_over_seeds([0.1, 0.2])


def test_a_spread_that_a_t_interval_cannot_carry_is_said_and_the_interval_widened():
    """One collapse among five, ten or twenty seeds; and normal values, which are left alone."""
    for n in (5, 10, 20):
        calm = [0.8 + 0.01 * math.sin(3 * i) for i in range(n)]
        collapsed = mean_over_seeds([*calm[:-1], 0.2])
        assert collapsed.apart == 1 and collapsed.low <= 0.2 and collapsed.high >= max(calm[:-1])
        assert "1 far from the others" in str(collapsed) and mean_over_seeds(calm).apart == 0
    generator = torch.Generator().manual_seed(0)
    for n in (4, 5, 8, 20):
        flagged = [mean_over_seeds(torch.randn(n, generator=generator).tolist()).apart > 0 for _ in range(2000)]
        assert sum(flagged) < 0.015 * 2000


def test_methods_are_paired_by_seed():
    result = small(METHODS, seeds=[3, 4])
    assert result.table.groupby(["method", "seed"]).size().tolist() == [4] * 4
    difference = result.difference("weighted", "plain", "overall")
    by_hand = [result.value("weighted", s, "overall") - result.value("plain", s, "overall") for s in (3, 4)]
    assert difference.value == pytest.approx(sum(by_hand) / 2)
    twice = small({"one": ERM(), "two": ERM()}, seeds=[3])
    assert twice.difference("one", "two").value == 0 and twice.value("one", 3) == result.value("plain", 3)


def test_summary_and_history_are_tables():
    result = small(METHODS, seeds=2)
    assert result.summary["needs"].tolist() == ["nothing", "group labels"]
    assert list(result.summary["method"]) == ["plain", "weighted"]
    assert len(result.history) == 2 * 2 * 2 * 4 and result.history["accuracy"].between(0, 1).all()
    with pytest.raises(ValueError, match="metric is 'accuracy'; use one of overall"):
        result.value("plain", 0, "accuracy")
    with pytest.raises(KeyError, match="no run of 'other'"):
        result.report("other", 0)


def test_the_worst_group_by_epoch_is_a_mean_over_seeds_of_a_minimum_over_groups():
    record = dict(report={}, history=[], epoch=1, seconds=1.0)
    rows = [
        dict(epoch=e, loss=0.0, split="validation", group=g, n=10, correct=c)
        for e, counts in ((1, (2, 8)), (2, (9, 4)))
        for g, c in zip("ab", counts)
    ]
    better = [dict(row, correct=row["correct"] + 1) for row in rows]
    records = [dict(record, name="ERM", seed=s, history=h) for s, h in enumerate((rows, better))]
    assert Study(["ERM"], {"ERM": ERM()}, [0, 1], records).worst_by_epoch() == {"ERM": ([1, 2], [0.25, 0.45])}


@pytest.mark.parametrize("select", ["last", "validation-worst-group", "validation-mean"])
def test_a_long_training_holds_the_shorter_ones(select):
    """To the sample: the same epoch, report and history as of a study that trained for as long."""
    long = small(METHODS, seeds=2, epochs=5, test_every_epoch=True)
    short = small(METHODS, seeds=2, epochs=3, test_every_epoch=True, select=select)
    held = long.at(3, select)
    assert held.table.drop(columns="seconds").equals(short.table.drop(columns="seconds"))
    assert held.history.equals(short.history)
    table = long.by_epoch("overall", epochs=(3, 5), select=select)
    assert table.columns.tolist() == ["method", "epoch", "value", "low", "high"]
    assert table["epoch"].tolist() == [3, 3, 5, 5] and table["value"][1] == short.mean("weighted", "overall").value
    assert len(long.by_epoch()) == 2 * 5


def test_a_length_that_was_not_tested_is_refused():
    with pytest.raises(ValueError, match="no test accuracy after epoch 2; train for as many epochs, with test_every"):
        small(METHODS, seeds=1).at(2)
    with pytest.raises(ValueError, match="no test accuracy after epoch 9; train for as many"):
        small(METHODS, seeds=1, test_every_epoch=True).at(9)
    with pytest.raises(ValueError, match="select is 'best'; use one of 'last'"):
        small(METHODS, seeds=1, test_every_epoch=True).at(2, "best")


def test_the_same_run_is_not_done_twice(monkeypatch):
    first = small(METHODS, seeds=2)
    monkeypatch.setattr(WORKERS, "run_and_keep", lambda *each: pytest.fail("ran again"))
    again = small(METHODS, seeds=2)
    assert again.table.equals(first.table) and again.history.equals(first.history)


def test_a_damaged_result_is_computed_again():
    first = small(METHODS, seeds=1)
    for path in kept():
        path.write_text(path.read_text()[:50])
    assert small(METHODS, seeds=1).table.drop(columns="seconds").equals(first.table.drop(columns="seconds"))


@pytest.mark.parametrize(
    "change",
    [
        dict(epochs=3),
        dict(data=partial(toys.shortcut, n=80, aligned_share=0.9)),
        dict(model=partial(models.mlp, hidden=(3,))),
        dict(seeds=[1]),
        dict(methods={"plain": LossReweighting(power=0.5)}),
        dict(lr=0.1),
    ],
)
def test_whatever_changes_the_result_changes_the_key(change):
    basis = dict(methods={"plain": ERM()}, seeds=[0])
    small(**basis)
    small(**(basis | change))
    assert len(kept()) == 2


def test_an_edited_method_is_measured_anew(monkeypatch, tmp_path):
    """Two classes of one name and one set of fields, with different code, must not share results."""
    keys = set()
    for number, factor in enumerate(("1", "2", "2  # a remark does not count")):
        source = f"""
            import dataclasses
            from debias_course.methods import ERM

            @dataclasses.dataclass(frozen=True, kw_only=True)
            class Mine(ERM):
                def loss(self, model, batch, state):
                    return super().loss(model, batch, state) * {factor}
        """
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "mine.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(tmp_path / f"v{number}")
        monkeypatch.delitem(sys.modules, "mine", raising=False)
        mine = importlib.import_module("mine").Mine()
        keys.add(key(method=mine))
    assert len(keys) == 2


@pytest.mark.slow
def test_workers_and_this_process_agree_to_the_bit():
    here = small(METHODS, seeds=2)
    for path in kept():
        path.unlink()
    there = small(METHODS, seeds=2, n_jobs=2)
    assert there.table.drop(columns="seconds").equals(here.table.drop(columns="seconds"))


def test_other_joblib_backends_can_be_chosen():
    import joblib

    with joblib.parallel_config(backend="threading"):
        result = small(METHODS, seeds=2, n_jobs=2)
    assert len(result.records) == 4


@pytest.mark.slow
def test_a_killed_study_continues_where_it_stopped(tmp_path):
    script = tmp_path / "long_study.py"
    script.write_text(
        textwrap.dedent(
            """
            from functools import partial
            from debias_course import models, study
            from debias_course.data import toys
            from debias_course.methods import ERM

            if __name__ == "__main__":
                data = partial(toys.shortcut, n=400)
                study({"plain": ERM()}, data, seeds=400, model=models.linear, epochs=50, batch_size=20, n_jobs=2)
                print("done")
            """
        )
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.time() + 90
    while len(kept()) < 2 and time.time() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: everybody gets it
    output, _ = process.communicate(timeout=60)
    survived = kept()
    assert "done" not in output and 2 <= len(survived) < 40  # of 400: nobody is so late
    assert all(json.loads(path.read_text())["report"] for path in survived)
    stamps = {path: path.stat().st_mtime_ns for path in survived}
    data = partial(toys.shortcut, n=400)
    result = study(
        {"plain": ERM()}, data, seeds=40, model=models.linear, epochs=50, batch_size=20, n_jobs=2, progress=False
    )
    assert len(result.records) == 40 and all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_a_cache_that_cannot_be_written_costs_time_only_and_is_said_once(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="nothing can be kept in") as said:
        assert len(small(METHODS, seeds=1).records) == 2
    assert len(said) == 1


def damaged(record, path):
    """One way each in which a kept record cannot be the result of the run that it stands for."""
    report = record["report"]
    other = next(each for each in kept() if each != path)
    row = record["history"][0]
    yield json.loads(other.read_text())  # another run's
    yield {**record, "key": "0" * 64}
    yield {name: value for name, value in record.items() if name != "key"}
    yield None
    yield []
    for change in (dict(report=None), dict(history=None), dict(epoch=None), dict(epoch=1.5), dict(seconds="1")):
        yield {**record, **change}
    yield {**record, "seconds": math.nan}
    yield {**record, "history": [{**row, "loss": math.nan}]}
    yield {**record, "history": [{**row, "correct": row["n"] + 1}]}
    yield {**record, "history": [{**row, "group": None}]}
    for change in (
        dict(correct=[math.nan] * 4),
        dict(correct=[-1, 0, 0, 0]),
        dict(correct=[n + 1 for n in report["n"]]),
        dict(correct=report["correct"][:3]),
        dict(correct=[True] * 4),
        dict(n=None),
        dict(train_n=None),
        dict(label_names=[1, 2]),
        dict(another=3),
    ):
        yield {**record, "report": {**report, **change}}


@pytest.mark.slow
def test_a_record_that_is_not_of_its_run_is_computed_again():
    first = small(METHODS, seeds=1)
    path = kept()[0]
    record = json.loads(path.read_text())
    for number, wrong in enumerate(damaged(record, path)):
        path.write_text(json.dumps(wrong))
        again = small(METHODS, seeds=1)
        assert again.table.drop(columns="seconds").equals(first.table.drop(columns="seconds")), number
        assert json.loads(path.read_text())["report"] == record["report"], number


def test_data_and_starts_are_built_once_for_each_seed():
    built = []

    def data(seed):
        built.append(("data", seed))
        return toys.shortcut(n=80, seed=seed)

    def model(data, seed):
        built.append(("model", seed))
        return models.linear(data, seed=seed)

    how = dict(data=data, model=model, epochs=1, n_jobs=1, progress=False)
    study(METHODS, seeds=2, **how)
    assert built == [("data", 0), ("model", 0), ("data", 1), ("model", 1)]
    built.clear()
    compare(METHODS, seeds=2, trials=3, **how)
    assert sorted(each for each in built if each[0] == "data") == [("data", 0), ("data", 1), ("data", SEARCH_SEED)]


def everything(number):
    """Methods, a model and augmentations that are made inside a function, as in a notebook."""

    class Local(ERM):
        def loss(self, model, batch, state):
            return super().loss(model, batch, state) * number

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(x) * number

    class Twice:
        def __call__(self, x):
            return x * number

        def also(self, x):
            return x * number

    augmentations = (partial(torch.mul, other=number), Twice(), Twice().also, lambda x: x * number)
    return Local(), lambda data, seed: Net(), augmentations


@pytest.mark.slow
@pytest.mark.parametrize("which", range(4), ids=["partial", "object", "bound method", "lambda"])
def test_what_is_made_in_a_function_reaches_the_workers(which):
    method, model, augmentations = everything(0.5)
    how = dict(model=model, augment=augmentations[which], seeds=2)
    there = small({"mine": method}, n_jobs=2, **how)
    for path in kept():
        path.unlink()
    here = small({"mine": method}, n_jobs=1, **how)
    assert here.table.drop(columns="seconds").equals(there.table.drop(columns="seconds"))
    assert small({"mine": everything(0.25)[0]}, **how).value("mine", 0, "overall") and len(kept()) == 4


def decorated(number):
    @dataclass(frozen=True, kw_only=True)
    class Mine(ERM):
        """min: as a notebook writes it."""

        power: float = knob(number, low=0.0, high=9.0, help="of the loss")

        @functools.cached_property
        def twice(self):
            return 2 * self.power

        def loss(self, model, batch, state):
            return super().loss(model, batch, state) * self.twice

    return Mine()


def normed(data, seed):
    """A network that cannot be sent to a worker."""
    return torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2))


@pytest.mark.slow
@pytest.mark.parametrize("model", [models.linear, normed], ids=["sent", "not sent"])
def test_a_method_of_a_notebook_is_the_same_in_workers_and_here(model):
    there = small({"mine": decorated(0.5)}, seeds=2, n_jobs=2, model=model)
    for path in kept():
        path.unlink()
    here = small({"mine": decorated(0.5)}, seeds=2, n_jobs=1, model=model)
    assert here.table.drop(columns="seconds").equals(there.table.drop(columns="seconds"))
    small({"mine": decorated(0.5)}, seeds=2, n_jobs=2, model=model)
    assert len(kept()) == 2


def test_a_run_that_would_start_where_another_stopped_is_refused():
    generator = torch.Generator().manual_seed(0)
    how = dict(methods={"plain": ERM()})
    noisy = lambda x: x + torch.randn(x.shape, generator=generator)  # noqa: E731
    with pytest.raises(RuntimeError, match="than a moment ago: .* such as a table, a generator"):
        small(seeds=[0, 1], augment=noisy, n_jobs=1, **how)
    assert len(kept()) == 1


def test_augmentations_that_draw_from_anywhere_follow_the_seed():
    def mixed(x):
        return x * float(np.random.beta(1, 1)) + random.random()

    before = np.random.get_state()[1].tolist(), random.getstate()
    first = small({"plain": ERM()}, seeds=1, augment=mixed)
    for path in kept():
        path.unlink()
    assert small({"plain": ERM()}, seeds=1, augment=mixed).history.equals(first.history)
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before


class Spoiling(ERM):
    """min: plain training that changes the data under everybody's feet."""

    def start(self, model, data):
        data.inputs.mul_(0.1)
        return super().start(model, data)


def test_data_that_a_run_has_changed_are_not_trained_on():
    with pytest.raises(RuntimeError, match="'plain' is something else than a moment ago: another run has changed"):
        small({"spoiling": Spoiling(), "plain": ERM()}, data=toys.shortcut(n=80), seeds=1)
    assert len(kept()) == 1


@pytest.mark.slow
def test_a_backend_that_returns_all_at_once_will_do():
    import joblib

    with joblib.parallel_config(backend="multiprocessing"):
        result = small({"mine": everything(0.5)[0]}, seeds=2, n_jobs=2)
    assert len(result.records) == 2 and len(kept()) == 2


class Killing(ERM):
    """min: nothing; the system takes the worker away, as it does when memory runs out."""

    def loss(self, model, batch, state):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_said_in_one_sentence_and_the_rest_goes_on():
    done = small(METHODS, seeds=2)
    with pytest.raises(OSError, match="a worker process was ended from outside, .* finished runs are kept: repeat"):
        small(METHODS | {"killing": Killing()}, seeds=2, n_jobs=2)
    assert small(METHODS, seeds=2).table.equals(done.table)


@pytest.mark.slow
def test_runs_beyond_what_may_wait_are_built_again_and_come_out_the_same(monkeypatch):
    first = small(METHODS, seeds=3, n_jobs=2)
    for path in kept():
        path.unlink()
    monkeypatch.setattr(WORKERS, "BUILT", 3000)  # of one seed's data there are 1920 bytes
    assert small(METHODS, seeds=3, n_jobs=2).table.drop(columns="seconds").equals(first.table.drop(columns="seconds"))


def test_fixed_splits_are_data_too():
    fixed = toys.shortcut(n=80)
    assert len(small(METHODS, data=fixed, seeds=2).records) == 4
    assert torch.equal(fixed.train.labels, toys.shortcut(n=80).train.labels)


def test_a_model_that_does_not_seed_itself_is_paired_all_the_same():
    before = torch.get_rng_state()
    result = small({"one": ERM(), "two": ERM()}, model=lambda data, seed: torch.nn.Linear(2, 2), seeds=2)
    assert result.difference("one", "two").value == 0 and torch.equal(torch.get_rng_state(), before)


def test_a_method_written_in_a_notebook_can_be_studied():
    space = {"__name__": "__main__"}
    source = """
        import dataclasses
        from debias_course.methods import ERM

        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Mine(ERM):
            def loss(self, model, batch, state):
                return 2 * super().loss(model, batch, state)
    """
    exec(compile(textwrap.dedent(source), "<cell>", "exec", dont_inherit=True), space)
    assert len(small({"mine": space["Mine"]()}, seeds=2).records) == 2


@pytest.mark.parametrize(
    "mistake, sentence",
    [
        (dict(methods={"a": ERM}), "pass an instance, such as ERM"),
        (dict(epoch=1), "study has no setting 'epoch'; there are augment, batch_size, epochs, lr"),
        (dict(data=(1, 2, 3)), "pass a function of seed, or Splits"),
    ],
)
def test_mistakes_are_refused_before_anything_runs(mistake, sentence):
    with pytest.raises(TypeError, match=sentence):
        small(**(dict(methods=METHODS, seeds=1) | mistake))
    assert not kept()


def test_a_group_that_is_trained_on_but_not_tested_leaves_one_average_open():
    train, validation, test = toys.shortcut(n=80)
    part = data_without_group(test, 1)
    result = small({"plain": ERM()}, data=Splits(train, validation, part), seeds=2)
    assert math.isnan(result.summary["train_weighted"][0]) and result.summary["worst_group"].notna().all()
    assert figures.study_bars(result).axes


def data_without_group(data, group):
    return data.subset(data.groups != group)


@pytest.mark.slow
def test_an_augmentation_is_part_of_the_key_and_reaches_the_workers():
    results = [small({"plain": ERM()}, seeds=2, n_jobs=2, augment=how) for how in (None, lambda x: x * 0, lambda x: -x)]
    assert len(kept()) == 6 and all(len(result.records) == 2 for result in results)
    again = small({"plain": ERM()}, seeds=2, n_jobs=1, augment=lambda x: -x)
    assert len(kept()) == 6 and again.table.equals(results[2].table)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_calls_in_workers_come_in_their_order_with_a_bar(n_jobs, capsys):
    calls = [joblib.delayed(pow)(each, 2) for each in range(5)]
    assert in_workers(calls, n_jobs=n_jobs, what="squares") == [0, 1, 4, 9, 16] and in_workers([]) == []
    assert "squares: 100%" in (shown := capsys.readouterr().err) and "5/5" in shown


def test_threads_share_random_generators_so_calls_go_one_by_one():
    with joblib.parallel_config(backend="threading"):
        calls = [joblib.delayed(threading.get_ident)() for _ in range(4)]
        assert set(in_workers(calls, n_jobs=2)) == {threading.get_ident()}
