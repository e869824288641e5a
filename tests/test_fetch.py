"""Known data sets by name, fetched from a server of this machine."""

import contextlib
import hashlib
import http.server
import io
import os
import re
import tarfile
import threading
import zipfile

import pytest
from filelock import FileLock
from folders import SIDE, celeba, make
from tqdm import tqdm

from debias_course import cli
from debias_course.data import download as downloading
from debias_course.data import fetch as fetching
from debias_course.data import image_folder
from debias_course.data.download import download
from debias_course.data.fetch import SETS, File, Source, fetch


class Server(http.server.BaseHTTPRequestHandler):
    """Files by path, with ranges. `cut` is after how many bytes the connection ends."""

    def do_GET(self):
        server = self.server
        server.asked.append(dict(self.headers))
        if self.path not in server.files:
            return self.send_error(404)
        whole, tag = server.files[self.path], server.tags.get(self.path, '"1"')
        first = 0
        if server.ranges and self.headers.get("If-Range") == tag:
            first = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
            if first >= len(whole):
                return self.send_error(416)
        self.send_response(206 if first or server.always else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first + server.shift}-{len(whole) - 1}/{len(whole)}")
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(whole) - first))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # of who does not want all of it
            self.wfile.write(whole[first : first + (server.cut or len(whole))])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server with no file yet, which no proxy of the environment hides."""
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as found:
        found.files, found.tags, found.asked = {}, {}, []
        found.ranges, found.cut, found.shift, found.always = True, None, 0, False
        found.url = f"http://127.0.0.1:{found.server_address[1]}"
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


def tarred(folder, inside):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        archive.add(folder, inside)
    return made.getvalue()


@pytest.fixture
def birds(server, cache, tmp_path, monkeypatch):
    """A small archive laid out as Waterbirds, for which no hash is published."""
    make(tmp_path / "made")
    server.files["/birds.tgz"] = tarred(tmp_path / "made", "birds_1")
    source = Source((File(f"{server.url}/birds.tgz", "waterbirds.tar.gz"),), "birds_1", "for tests")
    monkeypatch.setitem(SETS, "waterbirds", source)
    return cache / "sets" / "waterbirds"


def sha256_of(content):
    return hashlib.sha256(content).hexdigest()


DATA = bytes(range(256)) * 4000


@pytest.fixture
def file(server, tmp_path, monkeypatch):
    """A file of a megabyte on the server, and where it goes; what comes is written in small pieces."""
    monkeypatch.setattr(downloading, "CHUNK", 2**16)
    server.files["/file"] = DATA
    return tmp_path / "there" / "file.bin"


def cut_off(server, file, after=300_000):
    server.cut = after
    with pytest.raises(
        OSError, match=f"was cut off after {after:,} of 1,024,000 bytes; what came is kept, and the same"
    ):
        download(f"{server.url}/file", file)
    server.cut = None
    assert not file.exists() and file.with_name("file.bin.part").stat().st_size == after


def test_a_download_that_was_cut_off_goes_on(server, file):
    cut_off(server, file)
    download(f"{server.url}/file", file)
    assert file.read_bytes() == DATA and [each.get("Range") for each in server.asked] == [None, "bytes=300000-"]
    assert [each.name for each in file.parent.iterdir()] == ["file.bin"]


@pytest.mark.parametrize(
    "change", ["no ranges", "other version", "no version", "weak version", "whole", "other range", "206 for all"]
)
def test_it_begins_again_where_it_cannot_go_on(server, file, change):
    if change in ("no version", "weak version"):
        server.tags["/file"] = "" if change == "no version" else 'W/"1"'
    cut_off(server, file)
    wanted = DATA
    if change == "no ranges":
        server.ranges = False
    elif change == "other version":
        wanted = server.files["/file"] = DATA[::-1]
        server.tags["/file"] = '"2"'
    elif change == "whole":
        wanted = server.files["/file"] = DATA[:300_000]
    elif change == "other range":
        server.shift = 5
    elif change == "206 for all":
        server.ranges, server.always = False, True
    download(f"{server.url}/file", file)
    assert file.read_bytes() == wanted


def test_a_part_stays_after_an_interrupt(server, file, monkeypatch):
    update, came = tqdm.update, []

    def interrupted(self, n):
        came.append(n)
        if len(came) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(tqdm, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(f"{server.url}/file", file)
    assert file.with_name("file.bin.part").stat().st_size == sum(came) < len(DATA)
    monkeypatch.setattr(tqdm, "update", update)
    download(f"{server.url}/file", file)
    assert file.read_bytes() == DATA and server.asked[1]["Range"] == f"bytes={sum(came)}-"


def test_what_a_server_a_network_or_a_disk_refuse(server, file, monkeypatch):
    with pytest.raises(OSError, match="/none answers 404 Not Found; try again later, or see whether the address has"):
        download(f"{server.url}/none", file)
    with pytest.raises(OSError, match="could not be reached, or was cut off .*; look at the network and at the variab"):
        download("http://127.0.0.1:1/file", file)
    with pytest.raises(OSError, match="could not be reached"):
        download("https://elsewhere.invalid/file", file)

    whole = type(file).open

    def full(self, mode="r", *rest, **how):
        if mode == "ab":
            raise OSError(28, "No space left on device")
        return whole(self, mode, *rest, **how)

    monkeypatch.setattr(type(file), "open", full)
    with pytest.raises(
        OSError, match=r"file.bin.part could not be written \(No space left on device\); make room ther"
    ):
        download(f"{server.url}/file", file)


def test_what_is_encrypted_stays_so(monkeypatch, tmp_path):
    class Answer:
        url, status, close = "http://elsewhere/file", 200, lambda self: None

    monkeypatch.setattr(downloading.urllib.request, "urlopen", lambda *_, **__: Answer())
    with pytest.raises(OSError, match="leads to http://elsewhere/file, which is not encrypted; nothing was fetched"):
        download("https://here/file", tmp_path / "file")


def test_a_set_is_fetched_once_and_read(birds, server, capsys):
    assert cli.main(["fetch", "waterbirds"]) == 0
    printed = capsys.readouterr().out
    digest = sha256_of(server.files["/birds.tgz"])
    assert "waterbirds: for tests" in printed and "no checksum is published; later fetches are com" in printed
    assert digest in printed and f"fetched: {birds}" in printed and "debias-course inspect waterbirds" in printed
    assert len(image_folder(birds, size=SIDE).train) == 36
    assert sorted(each.name for each in birds.parent.iterdir()) == ["waterbirds", "waterbirds.tar.gz.sha256"]
    server.files.clear()
    assert cli.main(["fetch", "waterbirds"]) == 0 and "it is there already" in capsys.readouterr().out
    assert len(server.asked) == 1


@pytest.mark.slow
def test_a_set_is_data_for_every_command(birds, tmp_path, capsys):
    small = ["--data", "waterbirds", "--size", str(SIDE), "--model", "linear", "--epochs", "1"]
    for words in (["inspect", "waterbirds"], ["train", *small, "--out", "run"], ["compare", *small]):
        assert cli.main(words) == 2
        assert "waterbirds is not here yet; fetch it with: debias-course fetch waterbirds" in capsys.readouterr().err
    fetch("waterbirds")
    assert cli.main(["inspect", "waterbirds", "--size", str(SIDE)]) == 0
    assert f"{birds}: 60 images" in capsys.readouterr().out
    assert cli.main(["train", *small, "--out", "run"]) == 0
    assert cli.main(["evaluate", "--data", "waterbirds", "--model", "run"]) == 0
    assert "12 predictions" in capsys.readouterr().out
    rest = ["--methods", "erm", "--seeds", "1", "--trials", "1"]
    assert cli.main(["compare", *small, *rest]) == 0
    make(tmp_path / "waterbirds", n=20)  # a folder of one's own goes first
    capsys.readouterr()
    assert cli.main(["inspect", "waterbirds", "--size", str(SIDE)]) == 0
    assert "20 images" in capsys.readouterr().out


def test_celeba_is_put_together_from_its_files(server, cache, tmp_path, monkeypatch):
    celeba(tmp_path / "made")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for each in (tmp_path / "made" / "img_align_celeba").iterdir():
            archive.write(each, f"img_align_celeba/{each.name}")
    server.files["/images"] = made.getvalue()
    for name in ("list_attr_celeba.csv", "list_eval_partition.csv"):
        server.files[f"/{name}"] = (tmp_path / "made" / name).read_bytes()
    names = {"/images": "img_align_celeba.zip"}
    files = (File(server.url + at, names.get(at, at[1:]), sha256_of(c)) for at, c in server.files.items())
    monkeypatch.setitem(SETS, "celeba", Source(tuple(files), "", "for tests"))
    folder = fetch("celeba")
    assert len(image_folder(folder, size=SIDE).train) == 24 and list(cache.glob("sets/*")) == [folder]


def test_a_published_hash_is_kept_to(birds, server, monkeypatch):
    right = sha256_of(server.files["/birds.tgz"])
    (file,) = SETS["waterbirds"].files
    monkeypatch.setitem(SETS, "waterbirds", SETS["waterbirds"]._replace(files=(file._replace(sha256="0" * 64),)))
    with pytest.raises(
        ValueError, match=f"has the SHA-256 {right}, and 0+ is published; it lies at .*wrong: try again"
    ):
        fetch("waterbirds")
    assert not birds.exists()
    monkeypatch.setitem(SETS, "waterbirds", SETS["waterbirds"]._replace(files=(file._replace(sha256=right),)))
    by_hand = birds.with_name("waterbirds.parts")
    os.replace(by_hand / "waterbirds.tar.gz.wrong", by_hand / "waterbirds.tar.gz")
    assert fetch("waterbirds") == birds and len(server.asked) == 1


def test_without_a_published_hash_that_of_the_first_fetch_is_kept_to(birds, server):
    fetch("waterbirds")
    birds.rename(birds.with_name("moved"))
    server.files["/birds.tgz"] = tarred(birds.with_name("moved") / "images", "birds_1")
    with pytest.raises(
        ValueError, match="the fetch before had another one .none is published.; it lies at .*if you tru"
    ):
        fetch("waterbirds")
    first = birds.with_name("waterbirds.tar.gz.sha256")
    first.unlink()
    assert fetch("waterbirds") == birds and first.read_text().strip() == sha256_of(server.files["/birds.tgz"])


@pytest.mark.parametrize("cut", [slice(0, 500), slice(0, -400), slice(40, None)])
def test_a_damaged_archive_leaves_nothing_behind(birds, server, cut):
    whole, server.files["/birds.tgz"] = server.files["/birds.tgz"], server.files["/birds.tgz"][cut]
    with pytest.raises(ValueError, match="waterbirds.tar.gz cannot be unpacked .*; delete it, and try again"):
        fetch("waterbirds")
    assert not birds.exists() and not birds.with_name("waterbirds.tar.gz.sha256").exists()
    (birds.with_name("waterbirds.parts") / "waterbirds.tar.gz").unlink()
    server.files["/birds.tgz"] = whole
    assert fetch("waterbirds").is_dir()


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "birds_1/../../outside.txt"])
@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_no_file_of_an_archive_leaves_its_folder(server, cache, tmp_path, monkeypatch, name, kind):
    made = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr(name, "outside")
    else:
        with tarfile.open(fileobj=made, mode="w:gz") as archive:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    server.files["/x"] = made.getvalue()
    monkeypatch.setitem(SETS, "waterbirds", Source((File(f"{server.url}/x", f"x.{kind}"),), "birds_1", "for tests"))
    with pytest.raises(ValueError, match="cannot be unpacked|has no folder birds_1"):
        fetch("waterbirds")
    assert not [each for each in tmp_path.rglob("outside.txt") if "unpacked" not in each.parts]


@pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")
@pytest.mark.parametrize("known", [True, False])
def test_archives_are_unpacked_as_safely_by_an_older_python(server, birds, monkeypatch, known):
    """Before 3.11.4, tarfile has no filter for what is unsafe."""
    if not known:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    whole = server.files["/birds.tgz"]
    link, device, outside = tarfile.TarInfo("birds_1/link"), tarfile.TarInfo("birds_1/tty"), tarfile.TarInfo("../x")
    link.type, link.linkname, device.type = tarfile.SYMTYPE, "../../../..", tarfile.CHRTYPE
    for member, said in (link, "link"), (device, "tty is a link, or no file at all"), (outside, "outside of it"):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w:gz") as archive:
            archive.addfile(member)
        server.files["/birds.tgz"] = made.getvalue()
        with pytest.raises(ValueError, match=f"cannot be unpacked .*{said}"):
            fetch("waterbirds")
        (birds.with_name("waterbirds.parts") / "waterbirds.tar.gz").unlink()
    server.files["/birds.tgz"] = whole
    assert fetch("waterbirds") == birds and (birds / "metadata.csv").is_file()


def test_other_bad_input(birds, capsys, monkeypatch):
    assert cli.main(["fetch", "waterbird"]) == 2
    assert "unknown data set 'waterbird'; did you mean waterbirds?" in capsys.readouterr().err
    with pytest.raises(ValueError, match="the data set is 'birds'; use one of 'waterbirds', 'celeba'"):
        fetch("birds")
    parts = birds.with_name("waterbirds.parts")
    parts.mkdir(parents=True)
    with (
        FileLock(parts / ".fetching"),
        pytest.raises(FileExistsError, match="another process fetches waterbirds; wait"),
    ):
        fetch("waterbirds")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetching, "_unpack", full)
    with pytest.raises(OSError, match=r"cannot be unpacked \(No space left on device\); make room in .*DEBIAS_COURSE"):
        fetch("waterbirds")


def test_every_set_is_encrypted_or_hashed():
    for source in SETS.values():
        assert all(file.url.startswith("https://") for file in source.files)
        assert all(re.fullmatch(r"[0-9a-f]{64}|", file.sha256) for file in source.files) and source.terms
