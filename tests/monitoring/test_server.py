"""`astrokeras board`: which folders it shows, and the page that it serves."""

import re
import shutil
import socket
from pathlib import Path

import pytest
from boards import ask, serving, start
from tiny import overrides, write_tracers

from astrokeras.config import compose
from astrokeras.errors import InputError
from astrokeras.monitoring.event_files import EventWriter
from astrokeras.monitoring.example_tracers import DPI, SIZE
from astrokeras.monitoring.server import find_boards

pytestmark = pytest.mark.neutral


def write_run(path: Path) -> Path:
    writer = EventWriter(path / "tensorboard" / "emulator")
    writer.scalar("val_dex", 0.5, 1)
    writer.close()
    return path


def test_a_run_is_found_by_name_and_by_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "saved_models" / "first")
    other = write_run(tmp_path / "elsewhere")

    assert find_boards([]) == {"saved_models": tmp_path / "saved_models"}
    assert find_boards(["first"]) == {"first": run}
    assert find_boards(["first", "elsewhere"]) == {"first": run, "elsewhere": other}


def test_what_cannot_be_shown_is_refused(tmp_path, monkeypatch, cli):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="saved_models: no such folder"):
        find_boards([])
    write_run(tmp_path / "saved_models" / "first")
    write_run(tmp_path / "elsewhere" / "first")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: this folder has no event files"):
        find_boards(["empty"])
    with pytest.raises(InputError, match=r"would call it 'first', as it does .*saved"):
        find_boards(["first", "elsewhere/first"])

    result = cli("board", "absent")

    assert result.exit_code == 2
    message = "Error: absent: no such run or folder; runs here: first.\n"
    assert result.stderr == message


def test_a_port_in_use_is_told(tmp_path):
    write_run(tmp_path / "run")
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]

        process = start("run", "--port", port, cwd=tmp_path)
        out, errors = process.communicate(timeout=100)

    assert process.returncode == 2
    assert out == ""
    assert re.match(f"Error: .*port {port}.* give another", errors.splitlines()[-1])


def test_two_runs_are_served_by_their_names(tmp_path):
    folders = [write_run(tmp_path / name) for name in ("one", "two")]

    with serving(*folders, cwd=tmp_path, runs=2) as address:
        runs = ask(address, "runs")

    assert sorted(runs) == ["one/tensorboard/emulator", "two/tensorboard/emulator"]


@pytest.mark.long
def test_a_browser_shows_scalars_and_pictures(tmp_path):
    """Chromium through playwright, where both are installed."""
    api = pytest.importorskip("playwright.sync_api")
    from astrokeras.training.train import train

    write_tracers(tmp_path / "tiny.h5")
    run = train(compose(overrides(tmp_path, "board.every=4")))
    with (
        serving(run.path, cwd=tmp_path, runs=2) as address,
        api.sync_playwright() as kit,
    ):
        try:
            browser = kit.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
        except api.Error as error:
            pytest.skip(f"no browser: {str(error).splitlines()[0]}")
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"{address}?tagFilter=^val_dex$%7Ctracers#timeseries")
        page.locator("scalar-card svg").first.wait_for(timeout=60_000)
        picture = page.locator("image-card img").first
        picture.wait_for(timeout=60_000)
        loaded = "image => image.decode().then(() => image.naturalWidth)"
        assert picture.evaluate(loaded) == SIZE[0] * DPI
        assert page.get_by_text("tensorboard/emulator").count() > 0
        browser.close()
