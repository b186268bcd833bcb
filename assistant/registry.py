"""Adapter versions on disk: add, check, promote, roll back, try. Everything that reads weights goes through here.

Layout, under ``$DESKHAND_HOME/adapters``::

    <root>/<task>/<version>/        one version, see ``adapter_files.py``
    <root>/<task>/champion          two lines: the version that serves, and the one before it, for ``rollback``
    <root>/<task>/candidate         JSON: the version that is tried on a share of the conversations, see ``rollout.py``
    <root>/<task>/withdrawn.jsonl   the candidates that were taken out, one to a line, with the reason

Champion and previous stand in one file, so that one rename changes both: a process killed at any instant leaves a pair that
belonged together. Writers of a task wait for each other; readers never wait. Knows folders, names and pointers; nothing of
how an adapter is trained or what a task means.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from assistant.adapter_files import MANIFEST as MANIFEST
from assistant.adapter_files import AdapterVersion as AdapterVersion
from assistant.adapter_files import Manifest as Manifest
from assistant.adapter_files import check_files, read_manifest, read_version
from assistant.errors import DeskhandError, RegistryError
from assistant.pointer_files import Withdrawal as Withdrawal
from assistant.pointer_files import append_line, changing, flush, read_lines, read_withdrawals, write_pointer
from assistant.rollout import Bounds, Candidate

TASKS = ("intent", "sentiment", "slots", "dialog", "reply")
#: Files of ours beside the versions' folders, which no version may be called.
_CHAMPION, _CANDIDATE, _WITHDRAWN = "champion", "candidate", "withdrawn.jsonl"
_PREVIOUS = "previous"  # where the champion before stood until both were put into one file
_VERSION = re.compile(r"(?!(?:champion|previous|candidate|withdrawn\.jsonl)$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Served:
    """What really serves a task: its champion, or the one before it; ``fault`` then says so and why, and is empty else."""

    adapter: AdapterVersion
    fault: str = ""


class Registry:
    """The adapter versions under one folder."""

    def __init__(self, root: Path) -> None:
        """Remember the folder; nothing is created before something is written."""
        self.root = root

    def versions(self, task: str) -> list[Manifest]:
        """List the versions of a task, oldest first; damaged manifests are left out."""
        found = []
        for path in sorted(self._task(task).glob(f"*/{MANIFEST}")):
            if not _VERSION.fullmatch(path.parent.name):
                continue  # glob finds the staging folders of killed runs too
            try:
                found.append(read_manifest(path.parent))
            except RegistryError:
                continue
        return sorted(found, key=lambda manifest: (manifest.created_at, manifest.version))

    def pointer(self, task: str) -> Path:
        """Return the file that names a task's champion; it is replaced when another is promoted."""
        return self._task(task) / _CHAMPION

    def pointers(self, task: str) -> tuple[Path, ...]:
        """Return the files whose change means that something else serves: champion and candidate; they may be missing."""
        return self.pointer(task), self._task(task) / _CANDIDATE

    def champion(self, task: str) -> str | None:
        """Return the name of the version that serves, or ``None``."""
        return self._named(task)[0]

    def previous(self, task: str) -> str | None:
        """Return the champion before the one that serves, or ``None``."""
        return self._named(task)[1]

    def fault(self, task: str) -> str:
        """Say what is wrong with the files of the version that serves; empty where nothing is, or none serves."""
        champion = self.champion(task)
        if champion is None:
            return ""
        try:
            folder = self.folder(task, champion)
            check_files(folder, read_manifest(folder))
        except RegistryError as error:
            return str(error)
        return ""

    def folder(self, task: str, version: str) -> Path:
        """Return the folder of a version.

        Raises:
            RegistryError: If there is no such version; the message lists those there are.
        """
        folder = self._task(task) / version
        if not _VERSION.fullmatch(version) or not (folder / MANIFEST).is_file():
            known = ", ".join(manifest.version for manifest in self.versions(task)) or "none"
            raise RegistryError(f"{task}: there is no version {version!r} under {self.root}; known versions: {known}")
        return folder

    def load(self, task: str, version: str, base_sha256: str) -> AdapterVersion:
        """Read one version after checking every file of it.

        Args:
            task: One of ``TASKS``.
            version: Its name.
            base_sha256: Checksum of the encoder that would serve it.

        Returns:
            Manifest, LoRA factors and head tensors.

        Raises:
            RegistryError: If a file is missing, damaged, oversized, not finite, of wrong shape or for another base.
        """
        found = read_version(self.folder(task, version), base_sha256)
        _check_name(found.manifest, task, version)
        return found

    def load_serving(self, task: str, base_sha256: str) -> Served | None:
        """Read what serves a task; the champion before stands in for a champion that cannot be loaded.

        Args:
            task: One of ``TASKS``.
            base_sha256: Checksum of the encoder that serves it.

        Returns:
            The version, ``None`` if the task has no champion.

        Raises:
            RegistryError: If neither the champion nor the one before it can be loaded; the message names the mend.
        """
        champion, before = self._named(task)
        if champion is None:
            return None
        try:
            return Served(self.load(task, champion, base_sha256))
        except RegistryError as error:
            mend = f"promote a sound one: deskhand adapters promote {task} VERSION"
            if before is None:
                raise RegistryError(f"{error}; {mend}") from error
            try:
                found = self.load(task, before, base_sha256)
            except RegistryError as older:
                raise RegistryError(f"{error}; nor can the champion before it stand in: {older}; {mend}") from error
            return Served(found, f"champion {champion} cannot serve, {before} before it stands in ({error})")

    def add(self, task: str, version: str, staged: Path, base_sha256: str) -> Path:
        """Check a finished version and move it into place by rename.

        Args:
            task: One of ``TASKS``.
            version: The new name; must not be taken.
            staged: Folder with all four files, on the same file system.
            base_sha256: Checksum of the encoder it was trained on.

        Returns:
            The version's folder.

        Raises:
            RegistryError: If the version is taken or does not pass the checks; then nothing changed.
        """
        self.check_free(task, version)
        target = self._task(task) / version
        _check_name(read_version(staged, base_sha256).manifest, task, version)
        target.parent.mkdir(parents=True, exist_ok=True)
        for path in (*sorted(staged.iterdir()), staged):
            flush(path)  # a power cut must not leave a name without its content
        os.replace(staged, target)
        flush(target.parent)
        return target

    def check_free(self, task: str, version: str) -> None:
        """Check that a new version may have this name.

        Raises:
            RegistryError: If it is no version name, or taken.
        """
        if not _VERSION.fullmatch(version):
            raise RegistryError(
                f"{task}: {version!r} is no version name; up to 64 letters, digits, '.', '_' and '-' are, "
                "names of our own files such as 'champion' aside"
            )
        if (self._task(task) / version).exists():
            raise RegistryError(f"{task}: version {version!r} is there already; versions are never changed")

    def staging(self, task: str, version: str) -> Path:
        """Return an empty folder on the registry's file system to write a version into.

        Raises:
            RegistryError: If the name is none or taken.
        """
        self.check_free(task, version)
        folder = self._task(task) / f".staging-{version}-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def promote(self, task: str, version: str, base_sha256: str) -> None:
        """Make a version the champion, atomically, after checking all of it; the one before is kept for ``rollback``.

        A champion that is damaged by now is not kept; the one before it is. If the version was on trial, the trial ends.

        Raises:
            RegistryError: If the version is missing or does not pass the checks; then the champion stays.
        """
        self.load(task, version, base_sha256)
        with changing(self._task(task), (_CHAMPION, _CANDIDATE)) as folder:
            self._put(folder, task, version, base_sha256)

    def rollback(self, task: str, base_sha256: str) -> str:
        """Make the previous champion the champion again and return its name.

        Raises:
            RegistryError: If there was no champion before this one, or it does not pass the checks.
        """
        before = self.previous(task)
        if before is None:
            raise RegistryError(f"{task}: nothing to roll back to; no earlier champion under {self.root}")
        self.promote(task, before, base_sha256)
        return before

    def candidate(self, task: str) -> Candidate | None:
        """Return the version that is tried on a share of the conversations, or ``None``.

        Raises:
            RegistryError: If the pointer cannot be read.
        """
        path = self._task(task) / _CANDIDATE
        try:
            found = Candidate.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DeskhandError) as error:
            mend = f"`deskhand adapters withdraw {task}` removes it"
            raise RegistryError(f"{path}: cannot be read as a candidate ({error}); {mend}") from error
        return None if found.version == self.champion(task) else found

    def offer(self, task: str, version: str, share: float, at: datetime, base_sha256: str, bounds: Bounds) -> Candidate:
        """Let a version answer a share of the conversations from now on, after checking all of it.

        Offered again, the same candidate goes on with another share and its first start.

        Args:
            task: One of ``TASKS``.
            version: Its name.
            share: In (0, 1].
            at: Now, timezone-aware.
            base_sha256: Checksum of the encoder that would serve it.
            bounds: What it may do at worst.

        Returns:
            The candidate as it stands now.

        Raises:
            RegistryError: If there is no champion to compare with, the version is the champion or does not pass the checks,
                another one is on trial, or the share is none; then nothing changed.
        """
        if not 0 < share <= 1 or at.tzinfo is None:
            raise RegistryError(
                f"{task}: share {share} from {at.isoformat()}; a share lies above 0 and up to 1, a time has a zone"
            )
        self.load(task, version, base_sha256)
        with changing(self._task(task), (_CHAMPION, _CANDIDATE)) as folder:
            champion, running = self.champion(task), self.candidate(task)
            if champion is None:
                raise RegistryError(f"{task}: no champion to compare {version!r} with; promote a first version")
            if champion == version:
                raise RegistryError(f"{task}: {version!r} is the champion and answers all conversations already")
            if running is not None and running.version != version:
                raise RegistryError(
                    f"{task}: {running.version!r} is on trial since {running.started_at.isoformat()}; promote it, or withdraw it "
                    f"with `deskhand adapters withdraw {task}`"
                )
            offered = Candidate(version, share, at, bounds)
            if running is not None:
                offered = replace(offered, started_at=running.started_at)
            write_pointer(folder / _CANDIDATE, json.dumps(offered.as_json(), sort_keys=True) + "\n")
        return offered

    def withdraw(
        self, task: str, reason: str, at: datetime, *, version: str | None = None, figures: Mapping[str, Any] | None = None
    ) -> Withdrawal | None:
        """Take the candidate out, for good, and keep why in ``withdrawn.jsonl``; every conversation goes to the champion.

        Args:
            task: One of ``TASKS``.
            reason: Why, for people.
            at: Now, timezone-aware.
            version: Only if the candidate is still this one, for a judge that was overtaken.
            figures: Of both arms, to be kept with the reason.

        Returns:
            What was kept; ``None`` if there is no such candidate.
        """
        path = self._task(task) / _CANDIDATE
        if not path.exists():
            return None
        with changing(self._task(task), (_CHAMPION, _CANDIDATE)) as folder:
            try:
                running = self.candidate(task)
            except RegistryError:  # a damaged pointer serves nobody; here it is mended
                running = Candidate("(unreadable)", 1.0, at)
            if running is None or (version is not None and running.version != version):
                return None
            told = Withdrawal(
                running.version, reason, at.isoformat(), running.share, running.started_at.isoformat(), dict(figures or {})
            )
            # First the record, then the pointer: if killed in between, the next look withdraws it again and notes it once.
            past = self.withdrawals(task)
            if not past or (past[-1].version, past[-1].started_at) != (told.version, told.started_at):
                append_line(folder / _WITHDRAWN, json.dumps(asdict(told), ensure_ascii=False, sort_keys=True))
            path.unlink(missing_ok=True)
            flush(folder)
        return told

    def withdrawals(self, task: str) -> list[Withdrawal]:
        """List the candidates that were taken out, oldest first; a line that a crash tore is left out."""
        return read_withdrawals(self._task(task) / _WITHDRAWN)

    def install(self, shipped: Path) -> list[str]:
        """Copy shipped versions that are not there yet and point tasks without a champion at them.

        Returns:
            ``task/version`` for each copied version.
        """
        done = []
        for manifest_path in sorted(shipped.glob(f"*/*/{MANIFEST}")):
            task, version = manifest_path.parent.parent.name, manifest_path.parent.name
            if not _VERSION.fullmatch(version):
                continue
            if not (self._task(task) / version).exists():
                staged = self.staging(task, version)
                shutil.copytree(manifest_path.parent, staged, dirs_exist_ok=True)
                os.replace(staged, self._task(task) / version)
                done.append(f"{task}/{version}")
            if self.champion(task) is None:
                with changing(self._task(task), (_CHAMPION, _CANDIDATE)) as folder:
                    write_pointer(folder / _CHAMPION, f"{version}\n")
        return done

    def _named(self, task: str) -> tuple[str | None, str | None]:
        """Read champion and previous, from one state of the pointer."""
        folder = self._task(task)
        lines = read_lines(folder / _CHAMPION)
        champion = lines[0] if lines else None
        before = lines[1] if len(lines) > 1 else next(iter(read_lines(folder / _PREVIOUS)), None)
        return champion, before if before != champion else None

    def _put(self, folder: Path, task: str, version: str, base_sha256: str) -> None:
        before, older = self._named(task)
        kept = older
        if before is not None and before != version:
            kept = before if self._loads(task, before, base_sha256) else older
        names = [version] if kept in (None, version) else [version, str(kept)]
        write_pointer(folder / _CHAMPION, "\n".join(names) + "\n")
        (folder / _PREVIOUS).unlink(missing_ok=True)
        try:
            tried = self.candidate(task)
        except RegistryError:
            return  # it serves nobody, and `withdraw` mends it
        # A pointer to the champion itself would come back to life with the promotion after this one.
        if tried is None or tried.version in (before, version):
            (folder / _CANDIDATE).unlink(missing_ok=True)
            flush(folder)

    def _loads(self, task: str, version: str, base_sha256: str) -> bool:
        try:
            self.load(task, version, base_sha256)
        except RegistryError:
            return False
        return True

    def _task(self, task: str) -> Path:
        if task not in TASKS:
            raise RegistryError(f"{task!r} is no task; tasks are {', '.join(TASKS)}")
        return self.root / task


def _check_name(manifest: Manifest, task: str, version: str) -> None:
    if (manifest.task, manifest.version) != (task, version):
        raise RegistryError(
            f"{task}: the files of {version!r} are those of {manifest.task}/{manifest.version}; copy the right version again"
        )
