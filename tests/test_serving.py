"""`reportgen serve`: this machine alone, this folder alone; a change is shown, a broken spec is told and mended."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from reportgen.building import Options, Quiet, build, store_at
from reportgen.errors import ReportError
from reportgen.previewing import preview
from reportgen.rebuilding import serve
from reportgen.serving import Server, Shown, inside, listening, widened
from reportgen.watching import Watch

PATIENCE = 300  # seconds; the machine may be busy
SPEC = {
    "title": "A small report",
    "models": {"small": {"arch": "alexnet_mini"}},
    "sections": [
        {"id": "intro", "title": "Introduction", "text": "intro.md"},
        {"id": "nets", "method": "architecture"},
    ],
}
PAGE = """<!DOCTYPE html>
<html lang="en"><head>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self'; script-src 'self'">
</head><body>Words</body></html>
"""


@pytest.fixture
def folder(tmp_path):
    """A report, a secret beside it, and links from the one to the other."""
    site = tmp_path / "site"
    (site / "assets").mkdir(parents=True)
    (site / ".reportgen").write_text("{}")
    (site / "index.html").write_text(PAGE)
    (site / "assets" / "style.css").write_text("body { color: red }")
    (tmp_path / "secret.txt").write_text("secret")
    (site / "link.txt").symlink_to(tmp_path / "secret.txt")
    (site / "above").symlink_to(tmp_path)
    return site


@pytest.fixture
def served(folder):
    shown = Shown()
    shown.built()
    with Server(folder, shown, 0) as server:
        yield server


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer, data


# --------------------------------------------------------------------------------------------------------- who and what


def test_only_this_machine_is_listened_to(served):
    assert served.server_address[0] == "127.0.0.1"
    others = [info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    for address in {other for other in others if not other.startswith("127.")}:
        with pytest.raises(OSError, match=r".*"), socket.create_connection((address, served.server_port), timeout=5):
            pass


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil:8000"]
)
def test_a_page_of_another_name_that_leads_here_is_refused(served, host):
    answer, data = ask(served, "/", Host=host)
    assert answer.status == 421
    assert b"Words" not in data


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9000", "LOCALHOST", "[::1]:8000"])
def test_our_own_names_are_answered_whatever_port_a_tunnel_gives_them(served, host):
    assert ask(served, "/", Host=host)[0].status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/assets/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt",
        "/assets/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/..\\secret.txt", "//secret.txt", "/link.txt", "/above/secret.txt", "/.reportgen", "/assets/.hidden", "/%00",
        "/assets",
        "/C:/secret.txt", "/index.html/", "/nothing.html", "/~reportgen/../index.html", "/~reportgen/page.html",
    ],
)  # fmt: skip
def test_nothing_outside_of_the_folder_and_nothing_hidden_is_sent(served, path):
    answer, data = ask(served, path)
    assert answer.status == 404
    assert b"secret" not in data


def test_a_folder_that_no_build_wrote_is_not_shown(folder):
    (folder / ".reportgen").unlink()
    shown = Shown()
    shown.broken("site holds files that reportgen did not write")
    with Server(folder, shown, 0) as server:
        assert ask(server, "/assets/style.css")[0].status == 404


def test_inside_finds_files_and_no_folders(folder):
    assert inside(folder, "/assets/style.css") == folder / "assets" / "style.css"
    assert inside(folder, "/assets") is None


def test_a_port_that_is_taken_is_one_paragraph(served, folder):
    with pytest.raises(ReportError, match=rf"--port {served.server_port} cannot be used"):
        Server(folder, Shown(), served.server_port)
    with pytest.raises(ReportError, match="65535"):
        Server(folder, Shown(), 700000)


# ---------------------------------------------------------------------------------------------------------------- pages


def test_a_page_listens_for_changes_and_its_file_stays_as_it_is(served, folder):
    answer, data = ask(served, "/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'"
    assert f'content="{policy}"'.encode() in data
    assert b'<script src="/~reportgen/reload.js"' in data
    assert b"new EventSource" in ask(served, "/~reportgen/reload.js")[1]
    assert (folder / "index.html").read_text() == PAGE


def test_the_icon_that_browsers_ask_for_is_no_error(served):
    answer, data = ask(served, "/favicon.ico")
    assert (answer.status, data) == (204, b"")


def test_a_page_without_a_head_or_scripts_listens_too():
    html, policy = listening("<p>Words", "1")
    assert html.startswith("<p>Words<script")
    assert "connect-src 'self'" in policy
    assert widened("default-src 'none'; style-src 'sha256-x'; img-src data:; script-src 'none'") == (
        "default-src 'none'; style-src 'sha256-x'; img-src data:; script-src 'self'; connect-src 'self'"
    )


def test_what_a_browser_has_already_is_not_sent_again(served, folder):
    answer, data = ask(served, "/assets/style.css")
    assert (answer.headers["Content-Type"], data) == ("text/css; charset=utf-8", b"body { color: red }")
    again, nothing = ask(served, "/assets/style.css", If_None_Match=answer.headers["ETag"])
    assert (again.status, nothing) == (304, b"")
    (folder / "assets" / "style.css").write_text("body { color: blue }")
    assert ask(served, "/assets/style.css", If_None_Match=answer.headers["ETag"])[0].status == 200
    head, nothing = ask(served, "/assets/style.css", "HEAD")
    assert (head.headers["Content-Length"], nothing) == ("20", b"")


def test_a_broken_spec_is_a_readable_page_and_a_mended_one_the_report_again(served):
    served.shown.broken('poster.yaml:3:1: unknown key <script>"titel"</script>. Did you mean title?\nAnother problem.')
    answer, data = ask(served, "/section/any.html")
    assert answer.status == 503
    assert "unknown key &lt;script&gt;&#34;titel&#34;&lt;/script&gt;" in data.decode()
    assert data.count(b"<li>") == 2
    assert b"reload.js" in data
    served.shown.built()
    assert b"Words" in ask(served, "/")[1]


def test_pages_drawn_before_all_others_are_shown_until_the_whole_report_is_there(served):
    ask(served, "/section/one.html")
    ask(served, "/assets/style.css")
    ask(served, "/")
    assert served.shown.looked_at() == ["section/one.html", "index.html"]
    served.shown.previewed({"index.html": PAGE.replace("Words", "Newer words")})
    _, data = ask(served, "/")
    assert b"Newer words" in data
    assert b"reload.js" in data
    served.shown.built()
    assert b"Newer words" not in ask(served, "/")[1]


def test_what_is_drawn_first_is_what_a_build_writes_and_nothing_is_computed_for_it(tmp_path):
    spec, options = tmp_path / "tiny.yaml", Options(cache=tmp_path / "cache", threads=1)
    spec.write_text(yaml.safe_dump(SPEC))
    (tmp_path / "intro.md").write_text("The first words.")
    store, wanted = store_at(tmp_path / "cache"), ["net/small.html", "index.html"]
    assert preview(spec, store, options, wanted) is None
    build(spec, tmp_path / "out", options=options)
    pages = preview(spec, store, options, wanted)
    assert pages == {path: (tmp_path / "out" / path).read_text(encoding="utf-8") for path in wanted}
    (tmp_path / "intro.md").write_text("{{ models.small.nothing }}")
    with pytest.raises(ReportError, match="nothing"):
        preview(spec, store, options, wanted)


def test_without_prints_those_of_an_earlier_build_stay_and_the_next_build_makes_them(tmp_path):
    spec, options = tmp_path / "tiny.yaml", Options(cache=tmp_path / "cache", threads=1)
    spec.write_text(yaml.safe_dump(SPEC | {"outputs": {"site": {}, "single": {}}}))
    (tmp_path / "intro.md").write_text("The first words.")
    assert not build(spec, tmp_path / "out", options=options).without_prints
    before = (tmp_path / "out/single.html").read_bytes()
    (tmp_path / "intro.md").write_text("Other words.")
    assert build(spec, tmp_path / "out", options=replace(options, prints=False)).without_prints
    assert (tmp_path / "out/single.html").read_bytes() == before
    assert "Other words." in (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert not build(spec, tmp_path / "out", options=options).unchanged
    assert b"Other words." in (tmp_path / "out/single.html").read_bytes()


def test_whoever_listens_hears_of_each_change(served):
    with socket.create_connection(("127.0.0.1", served.server_port), timeout=PATIENCE) as wire:
        wire.sendall(b"GET /~reportgen/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        lines = wire.makefile("r", encoding="utf-8")
        while lines.readline().strip():
            pass

        def news():
            return json.loads(next(line for line in lines if line.startswith("data: "))[6:])

        first = news()
        served.shown.working("12 of 20 cells computed")
        assert news() == {"token": first["token"], "words": "12 of 20 cells computed"}
        served.shown.built()
        assert news()["token"] != first["token"]


# ------------------------------------------------------------------------------------------------------------- watching


@pytest.fixture
def project(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "photos").mkdir()
    for name in ("texts/intro.md", "photos/cat.jpg", "photos/dog.jpg"):
        (tmp_path / name).write_text("one")
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({"sections": [{"id": "intro", "text": "texts/intro.md"}]}))
    odd = {"source": "x" * 280, "alt": "a null \0", "credit": "photos/../photos", "title": "long/" * 50}
    images = {
        "odd": odd,
        "cat": {"source": "photos/cat.jpg"},
        "all": {"source": "photos/*.jpg"},
        "late": {"source": "late.png"},
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({"extends": "base.yaml", "images": images}))
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "spec.yaml",
        "base.yaml",
        "texts/intro.md",
        "photos/dog.jpg",
        "photos/new.png",
        "late.png",
        "templates/site/a.html",
    ],
)
def test_a_change_of_anything_a_report_is_made_of_is_seen(project, name):
    watch = Watch(project / "spec.yaml")
    before = watch.stamps()
    assert watch.stamps() == before
    (project / name).parent.mkdir(parents=True, exist_ok=True)
    (project / name).write_text("something else")
    assert watch.changed(before) != before


@pytest.mark.parametrize("name", ["notes.txt", "photos/notes.txt", "site/index.html"])
def test_a_change_of_anything_else_is_not(project, name):
    watch = Watch(project / "spec.yaml")
    before = watch.stamps()
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("something else")
    assert watch.stamps() == before


def test_a_spec_that_cannot_be_read_is_still_watched_with_all_it_named(project):
    watch = Watch(project / "spec.yaml")
    watch.stamps()
    (project / "spec.yaml").write_text("title: [half of")
    before = watch.stamps()
    assert project / "texts/intro.md" in before
    (project / "texts/intro.md").write_text("something else")
    assert watch.stamps() != before


# ---------------------------------------------------------------------------------------------------- the whole command


def get(address, path="/"):
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    connection.request("GET", path)
    data = connection.getresponse().read().decode()
    connection.close()
    return data


def until(address, words):
    deadline = time.monotonic() + PATIENCE
    while words not in (page := get(address)):
        assert time.monotonic() < deadline, page
        time.sleep(0.1)
    return page


def test_a_changed_text_is_shown_a_broken_spec_told_and_mended_and_ctrl_c_ends_it(tmp_path):
    spec, text = tmp_path / "tiny.yaml", tmp_path / "intro.md"
    spec.write_text(yaml.safe_dump(SPEC))
    text.write_text("The first words.")
    environment = {**os.environ, "REPORTGEN_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    server = subprocess.Popen(
        [sys.executable, "-m", "reportgen", "serve", "tiny.yaml", "--port", "0"],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        host, port = re.match(r"http://([\d.]+):(\d+)/", server.stderr.readline()).groups()
        address = (host, int(port))
        until(address, "The first words.")
        text.write_text("Other words, and more of them.")
        until(address, "Other words, and more of them.")
        spec.write_text(yaml.safe_dump(SPEC | {"titel": "x"}))
        page = until(address, "unknown key")
        assert "tiny.yaml:" in page
        assert "title" in page
        spec.write_text(yaml.safe_dump(SPEC | {"title": "A mended report"}))
        until(address, "A mended report")
        assert "reload.js" not in (tmp_path / "site/tiny/index.html").read_text()
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=PATIENCE)
    finally:
        server.kill()
        server.communicate()
    assert server.returncode == 0
    assert "no longer served" in said
    assert "Traceback" not in said


def test_a_spec_that_is_not_there_is_one_paragraph(tmp_path):
    with pytest.raises(ReportError, match="There is no spec"):
        serve(tmp_path / "none.yaml", None, 0, Options(), Quiet(), print, print)
