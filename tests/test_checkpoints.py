"""A training that was killed goes on from its last epoch, to the same weights."""

import json
import multiprocessing
import random
import signal
import threading
import time

import pytest
import torch
from test_contract import each_method, ground, setting
from tqdm import tqdm

from debias_course import cli, data, evaluate, models, train, training
from debias_course.data import toys
from debias_course.large import left
from debias_course.large.checkpoints import Checkpoints
from debias_course.methods import METHODS, GroupDRO

PLANE = toys.shortcut(n=64, aligned_share=0.75, seed=3)


class Killed(BaseException):
    """Nobody catches it."""


def killed_after(last):
    """A `progress` that ends the training after an epoch."""

    def look(epoch, _of):
        if epoch == last:
            raise Killed

    return look


def small(method=None, **how):
    """A training of the plane with dropout and an augmentation, which draw from torch's own generator."""
    start = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2))
    with torch.no_grad():
        for i, p in enumerate(start.parameters()):
            p.copy_(torch.linspace(-1, 1, p.numel()).view_as(p).roll(i))
    usual = dict(epochs=4, batch_size=16, validation=PLANE.validation, augment=noisy)
    return train(start, PLANE.train, method or GroupDRO(), **(usual | how))


def noisy(inputs):
    return inputs + 0.1 * torch.randn_like(inputs)


def same(one, other):
    """Whether two runs are equal to the bit, but for their seconds."""
    for a, b in (one.model, other.model), (one.state, other.state):
        for x, y in zip([*a.parameters(), *a.buffers()], [*b.parameters(), *b.buffers()]):
            torch.testing.assert_close(x, y, rtol=0, atol=0, equal_nan=True)
    assert (one.epoch, one.records, one.settings) == (other.epoch, other.records, other.settings)
    return True


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the model predicts")  # of an attack on a network that is too small
@each_method
def test_every_method_goes_on_to_the_same_weights(method, tmp_path):
    goes_on(method, tmp_path)


@pytest.mark.parametrize("name", ["group-dro", "learning-from-failure", "re-bias", "input-smote"])
def test_state_optimisers_and_samplers_go_on(name, tmp_path):
    goes_on(METHODS[name](**({"by": "group"} if "smote" in name else {})), tmp_path)


def goes_on(method, tmp_path):
    splits, start = ground(method)
    epochs = setting(method)[1].epoch + 2
    how = dict(epochs=epochs, batch_size=16, validation=splits.validation, select="validation-mean", seed=4)
    how |= dict(schedule="cosine", patience=epochs)
    whole = training.train(start, splits.train, method, **how)
    with pytest.raises(Killed):
        train(start, splits.train, method, checkpoint=tmp_path, progress=killed_after(epochs - 2), **how)
    assert same(whole, train(start, splits.train, method, checkpoint=tmp_path, **how))


@pytest.mark.parametrize("select", list(training.SELECT))
def test_the_selected_epoch_random_numbers_and_history_are_those_of_an_uninterrupted_training(select, tmp_path):
    whole = small(select=select)
    for last in 1, 2, 3:
        with pytest.raises(Killed):
            small(select=select, checkpoint=tmp_path, progress=killed_after(last))
    assert same(whole, small(select=select, checkpoint=tmp_path))
    seen = []
    assert same(whole, small(select=select, checkpoint=tmp_path, progress=lambda *done: seen.append(done)))
    assert not seen and len(list(tmp_path.glob("epoch-*.pt"))) == 2


def test_the_global_random_state_is_left_alone(tmp_path):
    start, before = models.mlp(PLANE.train), (torch.get_rng_state(), random.getstate())
    train(start, PLANE.train, epochs=2, checkpoint=tmp_path)
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()


@pytest.mark.parametrize("schedule", ["linear", lambda progress: 1.0 if progress < 0.4 else 0.1])
@pytest.mark.parametrize("patience", [1, 3])
def test_a_schedule_and_patience_go_on_to_the_same_end(schedule, patience, tmp_path):
    how = dict(epochs=20, lr=0.1, select="validation-mean", schedule=schedule, patience=patience)
    whole = small(**how)
    assert whole.stopped < 20
    for last in range(1, whole.stopped + 1):
        with pytest.raises(Killed):
            small(checkpoint=tmp_path, progress=killed_after(last), **how)
    assert same(whole, small(checkpoint=tmp_path, **how))


@pytest.mark.parametrize("damage", ["cut", "bit", "empty"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(damage, tmp_path):
    with pytest.raises(Killed):
        small(checkpoint=tmp_path, progress=killed_after(3))
    last = tmp_path / "epoch-000003.pt"
    whole = bytearray(last.read_bytes())
    whole[len(whole) // 2] ^= 1
    last.write_bytes({"cut": bytes(whole[:500]), "bit": bytes(whole), "empty": b""}[damage])
    seen = []
    with pytest.warns(UserWarning, match="epoch-000003.pt is damaged; training goes on from the checkpoint before"):
        again = small(checkpoint=tmp_path, progress=lambda epoch, of: seen.append(epoch))
    assert seen == [3, 4] and same(again, small())


def test_a_full_disk_is_said_and_the_one_before_is_used(tmp_path, monkeypatch):
    from debias_course.large import checkpoints

    write = checkpoints.write_atomically

    def full(path, content):
        if path.name == "epoch-000003.pt":
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(checkpoints, "write_atomically", full)
    said = (
        r"epoch 3 could not be written to .* \(No space left on device\); training goes on, and that of epoch 2 is kept"
    )
    with pytest.warns(UserWarning, match=said), pytest.raises(Killed):
        small(checkpoint=tmp_path, progress=killed_after(3))
    monkeypatch.undo()
    seen = []
    assert same(small(checkpoint=tmp_path, progress=lambda epoch, of: seen.append(epoch)), small())
    assert seen == [3, 4]


@pytest.mark.parametrize(
    "other, said",
    [
        (dict(lr=0.5), "lr: 0.001, and now 0.5"),
        (dict(epochs=9), "epochs: 4, and now 9"),
        (dict(schedule="cosine"), "schedule: constant, and now cosine"),
        (dict(method=GroupDRO(step_size=0.5)), "method: GroupDRO"),
        (dict(validation=PLANE.test), "its data, its start or the code"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(other, said, tmp_path):
    with pytest.raises(Killed):
        small(checkpoint=tmp_path, progress=killed_after(1))
    with pytest.raises(FileExistsError, match=f"checkpoints of another training .*{said}.*; choose another folder"):
        small(checkpoint=tmp_path, **other)


def test_a_folder_is_for_one_process_at_a_time(tmp_path):
    with pytest.raises(FileExistsError, match="another process trains in"):
        small(checkpoint=tmp_path, progress=lambda *_: small(checkpoint=tmp_path))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written .*; choose another folder"):
        small(checkpoint=tmp_path / "file" / "below")
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        small(checkpoint=tmp_path, epoch=1)


def test_a_checkpoint_holds_nothing_but_numbers_and_words(tmp_path):
    small(checkpoint=tmp_path)
    kept = Checkpoints(tmp_path, "", {})
    with pytest.raises(FileExistsError):  # it was read, with weights_only, and is of another training
        kept.last()


def long_training(method, folder, done):
    """In a process of its own; tqdm's lock is shared by those that one server forks, and one is killed holding it."""
    tqdm.set_lock(threading.RLock())
    run = small(METHODS[method](), checkpoint=folder, **LONG)
    torch.save((run.model.state_dict(), run.records, run.epoch), done)


LONG = dict(epochs=150, select="validation-mean", schedule="cosine")


@pytest.mark.slow
@pytest.mark.parametrize("method, times", [("group-dro", 10), ("learning-from-failure", 2), ("over-sampling", 2)])
def test_kill_and_continue_at_random_moments(method, times, tmp_path):
    """SIGKILL, wherever it may be, also in the middle of writing; each time after some more epochs."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["test_checkpoints"])
    moments, given = random.Random(7), (method, tmp_path / "run", tmp_path / "done")

    def last():
        return max((each.name for each in (tmp_path / "run").glob("epoch-*.pt")), default="")

    seen = [last()]
    while len(seen) <= times:
        process = processes.Process(target=long_training, args=given)
        process.start()
        while last() == seen[-1]:
            assert process.is_alive()
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.05))
        process.kill()
        process.join()
        seen.append(last())
        assert process.exitcode == -signal.SIGKILL and not (tmp_path / "done").exists()
    assert seen == sorted(set(seen))
    process = processes.Process(target=long_training, args=given)
    process.start()
    process.join()
    weights, records, epoch = torch.load(tmp_path / "done", weights_only=True)
    whole = small(METHODS[method](), **LONG)
    assert (records, epoch) == (whole.records, whole.epoch)
    assert all(torch.equal(weights[name], value) for name, value in whole.model.state_dict().items())


def test_the_command_leaves_a_model_that_can_be_loaded_and_goes_on(tmp_path, capsys):
    out, settings = tmp_path / "out", ["--method", "group-dro(step_size=0.1)", "--model", "linear", "--seed", "3"]
    call = ["train", *settings, "--epochs", "2", "--out", str(out)]
    assert cli.main(call) == 0
    printed = capsys.readouterr().out
    splits = data.colored_digits(seed=3)
    run = training.train(models.linear(splits.train, seed=3), splits.train, GroupDRO(step_size=0.1), epochs=2, seed=3)
    weights = torch.load(out / "model.pt", weights_only=True)
    assert all(torch.equal(weights[name], value) for name, value in run.model.state_dict().items())
    assert str(evaluate(run.model, splits.test, train=splits.train)) in printed
    for name in ("model.pt", "report.csv", "history.csv", "settings.json"):
        assert str(out / name) in printed
    facts = json.loads((out / "settings.json").read_text())
    assert facts["configuration"]["epochs"] == 2 and facts["epoch"] == 2 and 0 < facts["test"]["worst_group"]["value"]
    assert cli.main(call) == 0 and capsys.readouterr().out == printed  # nothing was left to do
    assert cli.main([*call, "--lr", "0.1"]) == 2
    assert "(lr: 0.001, and now 0.1); choose another folder" in capsys.readouterr().err


def test_the_command_takes_a_schedule_and_stops_early(tmp_path, capsys):
    call = ["train", "--data", "colored-digits", "--model", "linear", "--epochs", "9", "--lr", "0.1", "--patience", "1"]
    call += ["--schedule", "linear", "--out", str(tmp_path)]
    assert cli.main(call) == 2
    assert "patience=1 needs a score to wait for, and select='last' has none" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
    assert cli.main([*call, "--select", "validation-worst-group"]) == 0
    shown = capsys.readouterr()
    facts = json.loads((tmp_path / "settings.json").read_text())
    assert facts["configuration"]["schedule"] == "linear" and facts["configuration"]["patience"] == 1
    assert 1 < facts["stopped"] < 9 and f"{facts['stopped']}/{facts['stopped']} " in shown.err.splitlines()[-1]


def test_the_command_says_what_it_cannot_do(tmp_path, capsys, monkeypatch):
    assert cli.main(["train", "--method", "erm,dann", "--out", str(tmp_path)]) == 2
    assert "--method names 2 methods; name one, or use: debias-course compare" in capsys.readouterr().err
    assert cli.main(["train", "--method", "erm"]) == 2
    assert "--out" in capsys.readouterr().err

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(left, "write_atomically", full)
    assert cli.main(["train", "--model", "linear", "--epochs", "1", "--out", str(tmp_path)]) == 2
    assert "make room there and repeat the command: nothing is trained again" in capsys.readouterr().err
