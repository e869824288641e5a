"""The command line, as its user types it."""

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import pandas as pd
import pytest

from debias_course import cli
from debias_course.arguments import parse_methods
from debias_course.methods import DANN, ERM, LECTURE, METHODS, DrawnMining, LossReweighting, knobs

FAST = ["--epochs", "1", "--model", "linear", "--seeds", "100:102", "--trials", "2"]


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.mark.slow
def test_compare_prints_a_table_and_writes_what_it_says(capsys, tmp_path):
    out = tmp_path / "results"
    assert run("compare", "--data", "colored-digits", "--methods", "erm,loss-reweighting", *FAST, "--out", out) == 0
    printed = capsys.readouterr().out
    for word in ("minus erm", "group-balanced", "worst group", "seconds", "needs in training", "group labels", "rank"):
        assert word in printed
    for name in ("comparison.json", "comparison.png", "report.html", "results.csv", "search.csv"):
        assert str(out / name) in printed and (out / name).stat().st_size > 100


@pytest.mark.slow
def test_compare_knows_ten_by_ten_and_one_seed(capsys):
    assert run("compare", "--data", "colored-digits-10", "--methods", "erm", *FAST[:4], "--seeds", 1) == 0
    assert "colored-digits-10" in capsys.readouterr().out


def test_methods_are_written_as_they_are_called():
    parsed = parse_methods("erm, loss-reweighting(by=label,power=0.5),loss-reweighting")
    assert list(parsed.values()) == [ERM(), LossReweighting(by="label", power=0.5), LossReweighting()]
    for text in ("dann(labelled=first domain)", "dann(labelled='first domain')"):
        assert list(parse_methods(text).values()) == [DANN(labelled="first domain")]
    assert list(parse_methods("all")) == list(LECTURE) and len(LECTURE) == 12
    for text, value in {"true": True, "Yes": True, "FALSE": False, "no": False}.items():
        assert list(parse_methods(f"drawn-mining(correct={text})").values()) == [DrawnMining(correct=value)]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (
            ["compare", "--methods", "loss-rewighting"],
            "unknown method 'loss-rewighting'; did you mean loss-reweighting or",
        ),
        (["compare", "--data", "coloured-digits"], "unknown data set 'coloured-digits'; did you mean colored-digits"),
        (["compare", "--data", "xyz"], "unknown data set 'xyz'; there are colored-digits, colored-digits-10"),
        (["compare", "--model", "mpl"], "unknown model 'mpl'; did you mean mlp?"),
        (["compare", "--methods", "loss-reweighting(pwer=1)"], "unknown knob of loss-reweighting 'pwer'; did you mean"),
        (
            ["compare", "--methods", "loss-reweighting(power=9)"],
            "LossReweighting.power is 9.0; use a number from 0 to 2",
        ),
        (["compare", "--methods", "loss-reweighting(power=x)"], "power is 'x'; give a number"),
        (["compare", "--methods", "drawn-mining(correct=1)"], "correct is '1'; give true or false, or yes or no"),
        (["compare", "--methods", "erm("], "cannot read the method 'erm('"),
        (["compare", "--seeds", "many"], "seeds are 'many'; use a count such as 5 or a range such as 100:105"),
        (["compare", "--jobs", "0", "--methods", "erm"], "--jobs is '0'; use a whole number from 1"),
        (["compare", "--methods", "erm,occam-nets", "--model", "mlp"], "occam-nets cannot be compared here: "),
        (["compare", "--methods", "erm,erm"], "erm is there twice"),
        (["compare", "--aligned-share", "2"], "--aligned-share is '2'; use a number from 0 to 1"),
        (["compare", "--methods", "erm(x=1)"], "unknown knob of erm 'x'; there are none"),
        (["compare", "--device", "nonsense"], "device 'nonsense' cannot be used here"),
        (["compare", "--out", __file__], "File exists"),
        (["lab", "--port", "99999"], "--port is '99999'; use a whole number from 1 to 65535"),
        (["compare", "--epochs", "0"], "--epochs is '0'; use a whole number from 1"),
        (["claims", "--topic", "01_loss_rewighting"], "did you mean 01_loss_reweighting"),
        (["compare", "--data", "./nowhere"], "or give a folder of images"),
        (
            ["compare", "--data", "long-tailed-digits", "--aligned-share", "0.9"],
            "--aligned-share does not apply to",
        ),
        (["compare", "--label", "y"], "--label is for a folder of images"),
        (["compare", "--leave-out-broken"], "--leave-out-broken is for a folder of images"),
        (["compare", "--model", "resnet81"], "unknown model 'resnet81'; did you mean resnet"),
        pytest.param(
            ["compare", "--model", "vit_b_16"],
            "vit_b_16 cannot be trained on images 3×20×20",
            marks=pytest.mark.slow,
        ),
        (["inspect", "nowhere"], "there is no folder"),
        (["inspect", ".", "--columns", "file"], "columns are 'file'; write file=NAME,label=NAME"),
    ],
)
def test_mistakes_get_one_sentence(capsys, arguments, sentence):
    assert run(*arguments) == 2
    printed = capsys.readouterr().err.strip().splitlines()[-1]
    assert printed.startswith("debias-course: ") and sentence in printed


@pytest.fixture
def folder(tmp_path):
    from test_folder import make

    make(tmp_path / "my birds")
    return tmp_path / "my birds"


@pytest.mark.slow
def test_inspect_prints_a_command_that_runs(folder, capsys):
    assert run("inspect", folder, "--size", 16) == 0
    printed = capsys.readouterr().out
    assert "60 images, 2 labels × 2 attributes" in printed and "Cramér's V 0.000" in printed
    words = shlex.split(printed.strip().splitlines()[-1])
    assert words[:4] == ["debias-course", "compare", "--data", str(folder)]
    replaced = {"resnet18": "linear", "5": "1", "3": "1"}
    assert run(*(replaced.get(word, word) for word in words[1:]), "--out", folder / "out") == 0
    printed = capsys.readouterr().out
    assert "group-dro" in printed and "my birds, size 16" in printed and "aligned share" not in printed
    assert set(pd.read_csv(folder / "out" / "results.csv")["group"]) == {
        f"y={y}, place={a}" for y in "01" for a in "01"
    }


@pytest.mark.slow
def test_a_folder_takes_other_columns_and_streams(folder, capsys):
    named = ["--columns", "split=split,file=img_filename", "--label", "place", "--attribute", "y", "--size", 16]
    assert run("compare", "--data", folder, *named, "--memory", 0, "--methods", "erm", *FAST) == 0
    assert run("inspect", folder, *named, "--memory", 0) == 0
    printed = capsys.readouterr().out
    assert "streamed from disk" in printed and "place=0, y=1" in printed
    out = folder / "out"
    assert run("compare", "--data", folder, *named, "--methods", "erm", *FAST, "--out", out) == 0
    assert run("compare", "--data", folder, "--size", 16, "--methods", "erm", *FAST, "--out", out) == 2
    assert f"{out} is for another comparison (data: {folder}, size 16, label place" in capsys.readouterr().err
    assert run("compare", "--data", folder, "--aligned-share", "0.9") == 2
    assert "a folder of images has its own: leave it out" in capsys.readouterr().err


@pytest.mark.slow
def test_problems_of_a_folder_end_with_a_list(folder, capsys):
    for i in range(30):
        (folder / f"images/{i}.jpg").write_text("broken")
    assert run("inspect", folder) == 1
    printed = capsys.readouterr().out
    assert "30 problems" in printed and "and 10 more" in printed and printed.count("no image that Pillow knows") == 20
    assert run("inspect", folder, "--all") == 1
    assert capsys.readouterr().out.count("no image that Pillow knows") == 30
    assert run("compare", "--data", folder, "--methods", "erm", *FAST) == 2
    assert "cannot be used as it is, 30 problems" in capsys.readouterr().err
    assert run("compare", "--data", folder, "--leave-out-broken", "--methods", "erm", *FAST) == 0
    assert capsys.readouterr().err.count("debias-course: 30 of 60 images are left out") == 1


@pytest.mark.slow
def test_a_network_without_weights_starts_at_random_and_says_so(folder, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    how = ["--size", 64, "--methods", "erm", "--epochs", 1, "--seeds", 1, "--trials", 1]
    assert run("compare", "--data", folder, "--model", "squeezenet1_1", *how) == 2
    assert "squeezenet1_1 cannot be trained on images 3×64×64" in capsys.readouterr().err
    assert run("compare", "--data", folder, "--model", "shufflenet_v2_x0_5", *how) == 0
    printed = capsys.readouterr().out
    assert "shufflenet_v2_x0_5 starts at random: the weights of shufflenet_v2_x0_5 are not at" in printed


def test_list_shows_every_method_knob_range_and_need(capsys):
    assert run("list") == 0
    printed = capsys.readouterr().out
    for name, kind in METHODS.items():
        assert f"{name}\n" in printed and f"needs in training: {kind().needs}" in printed
        assert all(f"{knob} " in printed and declared.range() in printed for knob, declared in knobs(kind).items())


def test_a_taken_port_is_said_before_anything_starts(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run("lab", "--port", port) == 2
    assert f"port {port} is taken by another program; choose another one" in capsys.readouterr().err


PRESSING = """
import os, signal, sys
moment, times = sys.argv.pop(1), int(sys.argv.pop(1))
class Press:
    def find_spec(name, path=None, target=None):
        if name == moment:
            sys.meta_path.remove(Press)
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press)
from debias_course.cli import main
sys.exit(main())
"""
STOPPED = "debias-course: stopped; finished runs are kept, the same command goes on from there"


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("moment", ["debias_course.commands", "torch", "torch._C", "torch.nn", "debias_course.study"])
def test_ctrl_c_while_the_command_is_imported_is_one_sentence(moment, times):
    done = subprocess.run([sys.executable, "-c", PRESSING, moment, str(times), "list"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"\n{STOPPED}\n")


@pytest.mark.slow
@pytest.mark.parametrize("pauses", [[], [0.0, 0.3]], ids=str)
def test_ctrl_c_says_once_that_nothing_is_lost_however_often_it_is_pressed(pauses):
    with comparing(epochs=150) as process:
        os.killpg(process.pid, signal.SIGINT)
        for pause in pauses:
            time.sleep(pause)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        _, printed = process.communicate(timeout=60)  # until the last worker is gone, too
    assert process.returncode == 130 and printed.count(STOPPED) == 1
    assert "Traceback" not in printed and "Exception" not in printed


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the workers")
def test_ctrl_c_is_for_the_command_and_not_for_its_workers():
    """A terminal sends it to all of them, and a worker between two runs would show where it was."""
    with comparing(epochs=20) as process:
        workers = [int(each) for each in os.listdir("/proc") if each.isdigit() and group_of(each) == process.pid]
        workers.remove(process.pid)
        assert len(workers) >= 2
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        seen_run(process, 5)
        os.killpg(process.pid, signal.SIGINT)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in printed and "Exception" not in printed


def group_of(number):
    with contextlib.suppress(ProcessLookupError):  # it may be gone by now
        return os.getpgid(int(number))


@contextlib.contextmanager
def comparing(epochs):
    """A comparison by two workers whose first run is done, so both are past their imports."""
    how = ["--methods", "erm", "--model", "mlp", "--epochs", str(epochs), "--seeds", "20", "--jobs", "2"]
    command = [sys.executable, "-m", "debias_course.cli", "compare", *how]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        seen_run(process, 1)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def seen_run(process, number):
    shown = ""
    while not any(int(done) >= number for done in re.findall(r"\| (\d+)/", shown)):
        shown += (letter := process.stderr.read(1))
        if not letter:
            process.communicate()
            pytest.fail(f"the command ended before run {number} was seen: {shown}")


@pytest.mark.slow
def test_a_comparison_that_was_killed_ends_with_the_same_table(tmp_path, monkeypatch):
    how = ["compare", "--methods", "erm,loss-reweighting", "--model", "mlp", "--epochs", 8, "--trials", 2]
    how = [str(each) for each in (*how, "--seeds", "100:103", "--jobs", 1, "--out")]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    environment = os.environ | dict(DEBIAS_COURSE_CACHE=str(killed))
    command = [sys.executable, "-m", "debias_course.cli", *how, str(killed / "out")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while len(list((killed / "runs").glob("*.json"))) < 3:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.kill()
    process.communicate()
    kept = {path: path.stat().st_mtime_ns for path in (killed / "runs").glob("*.json")}
    assert 3 <= len(kept) < 10 and not (killed / "out" / "results.csv").exists()
    tables = []
    for folder in (killed, whole):
        monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(folder))
        assert run(*how, folder / "out") == 0
        tables.append(pd.read_csv(folder / "out" / "results.csv").drop(columns="seconds"))
        assert len(list((folder / "runs").glob("*.json"))) == 10
    pd.testing.assert_frame_equal(*tables)
    assert kept.items() <= {path: path.stat().st_mtime_ns for path in (killed / "runs").glob("*.json")}.items()
    assert run(*how, whole / "out") == 0  # the same again
    assert run(*how, whole / "out", "--lr", 0.1) == 2  # another one
    assert run(*how, tmp_path / "new", "--lr", "nan") == 2 and run(*how, tmp_path / "new") == 0  # a mistake, mended


@pytest.mark.slow
def test_importing_the_package_brings_nothing_heavy():
    heavy = ("torchvision", "sklearn", "pandas", "matplotlib.pyplot", "ipywidgets", "scipy", "joblib")
    for imported, not_there in ("debias_course.commands", heavy), ("debias_course.cli", ("torch", "numpy", *heavy)):
        source = f"import sys, {imported}; print([name for name in {not_there!r} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_package_hands_out_its_modules_and_functions():
    source = """
import debias_course
assert callable(debias_course.study) and debias_course.large.train is debias_course.train
import debias_course.study, debias_course.evaluation
from debias_course import data, evaluate, methods, models, study, train
assert debias_course.study is study and study.__module__ == "debias_course.study"
assert {"data", "evaluate", "methods", "models", "study", "train"} <= set(dir(debias_course))
assert (evaluate, train) == (debias_course.evaluation.evaluate, debias_course.large.train)
assert not hasattr(debias_course, "nothing")
"""
    subprocess.run([sys.executable, "-c", source], check=True)


SHELLS = {
    "output closed": ("{list} >&-", 0, ""),
    "all closed": ("{list} <&- >&- 2>&-", 0, ""),
    "reader gone": ("{list} | true; exit ${PIPESTATUS[0]}", 0, ""),
    "help without reader": ("{python} -m debias_course.cli compare --help | true; exit ${PIPESTATUS[0]}", 0, ""),
    "disk full": ("{list} > /dev/full", 2, "debias-course: [Errno 28] No space left on device\n"),
    "no home": ("env -i PATH=$PATH {list} > /dev/null", 0, ""),
    "no docstrings": ("{python} -OO -m debias_course.cli list > /dev/null", 0, ""),
    "no docstrings, inspect": (
        "{python} -OO -m debias_course.cli inspect /nowhere",
        2,
        "debias-course: there is no folder /nowhere\n",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("line, code, said", SHELLS.values(), ids=SHELLS)
def test_a_shell_gets_an_exit_code_and_no_traceback(line, code, said):
    words = dict(python=sys.executable, list=f"{sys.executable} -m debias_course.cli list")
    for name, word in words.items():
        line = line.replace(f"{{{name}}}", word)
    done = subprocess.run(["bash", "-c", line], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["{python} -OO", "env -i PATH=$PATH {python}"])
def test_a_comparison_needs_neither_docstrings_nor_a_home(how, tmp_path):
    line = f"{how} -m debias_course.cli compare --methods erm --out {tmp_path} --jobs 1 {' '.join(FAST)} >&-"
    done = subprocess.run(["bash", "-c", line.replace("{python}", sys.executable)], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr and (tmp_path / "report.html").exists()


@pytest.mark.slow
def test_two_comparisons_do_not_fill_one_folder(tmp_path, capsys):
    command = [sys.executable, "-m", "debias_course.cli", "compare", "--methods", "erm", "--model", "linear"]
    process = subprocess.Popen([*command, "--epochs", "300", "--out", tmp_path], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "comparison.json").exists():
        assert process.poll() is None
        time.sleep(0.05)
    for epochs in 300, 1:
        assert run(*command[3:], "--epochs", epochs, "--out", tmp_path) == 2
        assert "is being filled by another process; wait until it is done, or choose" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_the_command_line_in_a_notebook_leaves_ctrl_c_alone(monkeypatch, capsys):
    before = signal.getsignal(signal.SIGINT)

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("debias_course.commands.list_methods", interrupted)
    assert run("list") == 130 and capsys.readouterr().err == f"\n{STOPPED}\n"
    assert signal.getsignal(signal.SIGINT) is before
