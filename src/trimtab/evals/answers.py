"""What a release answered when it was tried: values, and the book that keeps them through crashes."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from trimtab.core.errors import ConflictError, StorageError
from trimtab.core.ids import DIGEST_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Answer", "AnswerBook", "Ask"]


class Ask(NamedTuple):
    """One question to a release."""

    key: str
    """Names the question: that of its item."""
    sample: int
    """Which of several answers to the same question, from 0."""
    variables: dict[str, Any]
    messages: list[dict[str, Any]]


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer, and what it took."""

    output: str = ""
    tool_calls: list[dict[str, Any]] = []
    """In the shape of OpenAI's chat completions."""
    finish_reason: str = ""
    served_model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    latency_ms: float = 0.0
    attempts: int = 1
    error_code: str = ""
    """Why there is no answer; empty where there is one."""
    error: str = ""
    """The same in words."""
    at_ms: int = 0


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    key: str
    sample: int
    answer: Answer


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Line)


class AnswerBook:
    """Answers of one release, by question and sample: a file of JSON lines that is only ever added to.

    A release's book has one writer at a time, a judge's may have several. A killed one leaves at most a torn line,
    which the next cuts off; what cannot be read is asked again. A line is on its way to the disk when `put` returns and
    there when `sync` does. Failures are not kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._answers: dict[tuple[str, int], Answer] = {}
        self._fd = -1
        self._before = b""
        """What goes before a line: beside others, it may follow what a killed one left torn."""

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path, digest: str, *, shared: bool = False) -> Iterator[Self]:
        """Open the book of a release for writing; `shared` beside others who share it.

        Who shares it does not see what others add meanwhile. Raises `ConflictError` (`answers_locked`) where another
        process has it, `StorageError` where it cannot be read.
        """
        book = cls(folder / f"{digest.removeprefix(DIGEST_PREFIX)}.jsonl")
        try:
            book.path.parent.mkdir(parents=True, exist_ok=True)
            book._fd = os.open(book.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise StorageError(
                "write_failed", f"cannot keep answers: {error.strerror}", param=str(book.path)
            ) from error
        try:
            alone = book._lock(shared=shared)
            book._before = b"\n" if shared else b""
            book._load(cut=alone)
            if shared and alone:
                fcntl.flock(book._fd, fcntl.LOCK_SH)
            yield book
            book.sync()
        finally:
            os.close(book._fd)

    @classmethod
    def read(cls, folder: Path, digest: str) -> Self:
        """Return the book of a release as it is, to look things up in."""
        book = cls(folder / f"{digest.removeprefix(DIGEST_PREFIX)}.jsonl")
        with contextlib.suppress(FileNotFoundError):
            book._load(cut=False)
        return book

    def get(self, key: str, sample: int, *, not_before_ms: int = 0) -> Answer | None:
        """Return the answer, `None` where there is none yet, or none that was given since `not_before_ms`."""
        answer = self._answers.get((key, sample))
        return None if answer is None or answer.at_ms < not_before_ms else answer

    def put(self, ask: Ask, answer: Answer) -> None:
        """Keep an answer."""
        os.write(self._fd, self._before + _encoder.encode(_Line(key=ask.key, sample=ask.sample, answer=answer)) + b"\n")
        self._answers[ask.key, ask.sample] = answer

    def sync(self) -> None:
        """Return when everything that was put is on disk."""
        os.fsync(self._fd)

    def __len__(self) -> int:
        return len(self._answers)

    def _lock(self, *, shared: bool) -> bool:
        """Lock the file; returns whether nobody else has it."""
        kinds = [fcntl.LOCK_EX, fcntl.LOCK_SH] if shared else [fcntl.LOCK_EX]
        for kind in kinds:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
                return kind == fcntl.LOCK_EX
        raise ConflictError(
            "answers_locked",
            "another process is asking this release just now",
            param=str(self.path),
            hint="wait for it: its answers will be found",
        )

    def _load(self, *, cut: bool) -> None:
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        for line in whole.splitlines():
            with contextlib.suppress(msgspec.DecodeError):  # torn, or damaged: it is asked again
                entry = _decoder.decode(line)
                self._answers[entry.key, entry.sample] = entry.answer
        if cut and len(whole) < len(content):
            os.ftruncate(self._fd, len(whole))
