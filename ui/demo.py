"""``demo`` and ``serve``: set the sample company up where it is not yet, and open the doors.

Setting up is made of steps that each may be repeated, so a demo that was killed goes on where it stopped. Knows the order
of the steps; ingesting, adapters and pages are in files of their own.
"""

from __future__ import annotations

import hashlib
import shutil
import socket
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import DeskhandError, UsageError
from assistant.settings import Company, home
from ui import intake, terminal
from ui.sample import COMPANY, LANGUAGES, SUPPORT_HOURS, Sample, find_sample
from ui.settings_file import write_settings
from ui.wiring import SETTINGS_FILE, build, connect, load_encoder, make_home, open_registry, read_settings

if TYPE_CHECKING:
    from assistant.settings import Settings

#: Written last; names the sample that was set up, so that a newer Deskhand brings its newer sample in.
DONE = "demo-done"


def run(*, host: str | None, port: int | None, serve: bool, as_json: bool) -> None:
    """Set the sample company up and serve it.

    Args:
        host: Address to listen on; ``None`` for the settings' own.
        port: Port to listen on, 0 for a free one; ``None`` for the settings' own.
        serve: Whether to serve, or to set up only.
        as_json: Whether to print JSON.

    Raises:
        UsageError: If the home folder holds a company of the user's own, or the port is taken.
        DeskhandError: If a step fails; the message says which.
    """
    place = home()
    with terminal.Steps(quiet=as_json) as steps:
        settings = set_up(place, find_sample(), steps)
    if serve:
        serve_home(settings, place, host=host, port=port, as_json=as_json)
    elif as_json:
        terminal.say_json({"company": COMPANY, "home": str(place)})
    else:
        terminal.say(f"{COMPANY} is set up in {place}; `deskhand ask TEXT` answers, `deskhand demo` serves it")


def is_demo(place: Path) -> bool:
    """Say whether a home folder is the sample company's."""
    path = place / SETTINGS_FILE
    if not path.is_file():
        return False
    try:
        return bool(tomllib.loads(path.read_text(encoding="utf-8"))["company"]["name"] == COMPANY)
    except (ValueError, KeyError, TypeError):
        return False


def set_up(place: Path, sample: Sample, steps: terminal.Steps) -> Settings:
    """Bring the sample company into a home folder, as far as it is not there yet.

    Args:
        place: The home folder, made where missing.
        sample: The company's files.
        steps: Told how far each step is.

    Returns:
        The settings to build the assistant with.

    Raises:
        UsageError: If the home folder holds a company of the user's own.
    """
    fresh = not is_demo(place)
    _refuse_own_company(place, fresh=fresh)
    make_home(place)
    if fresh:
        values = {"company.name": COMPANY, "company.languages": LANGUAGES, "company.support_hours": SUPPORT_HOURS}
        write_settings(place, force=False, values=values)
    company = Company(name=COMPANY, languages=LANGUAGES, support_hours=SUPPORT_HOURS)
    settings = read_settings(place).model_copy(update={"company": company})
    digest = _digest(sample)
    done = place / DONE
    if done.is_file() and done.read_text(encoding="utf-8").strip() == digest and (place / "index" / "current").is_file():
        return settings
    shutil.copyfile(sample.products, place / "products.json")
    if sample.adapters.is_dir():
        for name in open_registry(place).install(sample.adapters):
            steps.line(f"adapter {name} installed")
    # What the company's own people labelled: retraining starts from the first and is judged by the second.
    for part, folder in (("train", "examples"), ("validation", "holdout")):
        given = sample.root / "sample" / part / "intent.jsonl"
        if given.is_file() and not (place / folder / "intent.jsonl").is_file():
            (place / folder).mkdir(exist_ok=True)
            shutil.copyfile(given, place / folder / "intent.jsonl")
    paths = [sample.templates, sample.articles, sample.conversations]
    intake.take_in(paths, settings, place, load_encoder(settings), steps=steps)
    done.write_text(digest + "\n", encoding="utf-8")
    return settings


def serve_home(settings: Settings, place: Path, *, host: str | None, port: int | None, as_json: bool) -> None:
    """Build the assistant of a home folder and serve it until it is stopped.

    Args:
        settings: As they hold for the folder.
        place: The home folder.
        host: Address; ``None`` for ``serve.host``.
        port: Port, 0 for a free one; ``None`` for ``serve.port``.
        as_json: Whether the address is printed as JSON.

    Raises:
        UsageError: If nothing can listen there.
        DeskhandError: If the assistant cannot be built.
    """
    host = settings.serve.host if host is None else host
    port = free_port(host, settings.serve.port if port is None else port)
    from ui.server import serve

    wired = build(settings, place)
    try:
        for line in wired.notes:
            terminal.note(f"warning: {line}")
        url = f"http://{'127.0.0.1' if host in ('', '0.0.0.0') else host}:{port}/"
        if as_json:
            terminal.say_json({"url": url, "home": str(place)})
        else:
            terminal.say(f"{settings.company.name} answers at {url} (Ctrl-C stops it)")
        serve(wired, host, port)
    finally:
        wired.close()


def free_port(host: str, port: int) -> int:
    """Make sure that a port can be listened on.

    Args:
        host: Address or name.
        port: The port; 0 lets the system choose one.

    Returns:
        The port.

    Raises:
        UsageError: If it is taken, or the address is not this machine's.
    """
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as door:
            return int(door.getsockname()[1])
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port} ({error.strerror or error}); --port 0 takes a free port") from error


def _refuse_own_company(place: Path, *, fresh: bool) -> None:
    """Keep invented customers out of a store with real ones."""
    mend = "run the demo with another folder in DESKHAND_HOME"
    if not fresh:
        return
    if (place / SETTINGS_FILE).exists():
        raise UsageError(f"{place / SETTINGS_FILE} is of another company; {mend}")
    settings = read_settings(place)
    if not settings.store.url and not (place / "deskhand.db").exists():
        return
    store = connect(settings, place)
    try:
        kept = store.sources()
    finally:
        store.close()
    if kept:
        raise UsageError(f"the store of {place} holds {len(kept)} source(s) of your own, such as {kept[0].name!r}; {mend}")


def _digest(sample: Sample) -> str:
    """Return the SHA-256 of all files that the set-up reads."""
    folders = [sample.articles, sample.adapters]
    files = [sample.conversations, sample.templates, sample.products]
    files += sorted(path for folder in folders if folder.is_dir() for path in folder.rglob("*") if path.is_file())
    whole = hashlib.sha256()
    try:
        for path in files:
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    except OSError as error:
        raise DeskhandError(f"{error.filename}: a file of the sample company cannot be read; reinstall deskhand") from error
    return whole.hexdigest()
