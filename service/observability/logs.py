"""Logs as lines on standard error: JSON, or text for who reads them in a terminal. Each line of a request has its ids.

A stream that is full, closed or read by nobody costs lines, never a request: who logs only puts a line in a queue.
"""

import json
import logging
import logging.config
import queue
import re
import sys
import threading
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from pythonjsonlogger.json import JsonFormatter

LogFormat = Literal["auto", "json", "text"]

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that the current task works for."""

trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""The id of the trace that this request is part of: 32 hexadecimal digits."""

facts: ContextVar[dict[str, object] | None] = ContextVar("facts", default=None)
"""What the current request's log line is to tell besides; see `note`."""

_MOST_WAITING = 10_000
_FLUSH_SECONDS = 2.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def note(**more: object) -> None:
    """Add to the log line of the current request. Numbers, and names that the service has made."""
    if (noted := facts.get()) is not None:
        noted.update(more)


class Lines(logging.Handler):
    """Writes lines on a thread of its own. `lost`: those that could not be written, or had no place to wait."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream, self._lost, self._told = stream, 0, 0
        self._waiting: queue.Queue[str] = queue.Queue(_MOST_WAITING)
        threading.Thread(target=self._write_all, name="logs", daemon=True).start()

    @property
    def lost(self) -> int:
        """Lines that are gone."""
        return self._lost

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line; called by whoever logs."""
        try:
            self._waiting.put_nowait(self.format(record))
        except Exception:  # noqa: BLE001  # full, or arguments that do not fit: a log line is no reason to fail
            self._lost += 1

    def flush(self) -> None:
        """Wait until all is written, but not for long: nobody may be reading."""
        until = time.monotonic() + _FLUSH_SECONDS
        while self._waiting.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.005)

    def _write_all(self) -> None:
        while True:
            line = self._waiting.get()
            try:
                self._stream.write(f"{line}\n")
                self._stream.flush()
            except (OSError, ValueError):  # no space left; closed
                self._lost += 1
            self._waiting.task_done()
            if self._lost > self._told and not self._waiting.qsize():
                self._tell()

    def _tell(self) -> None:
        lost = self._lost
        record = logging.makeLogRecord(
            {"name": __name__, "levelname": "WARNING", "levelno": logging.WARNING, "msg": "log lines were lost"}
        )
        record.lines = lost - self._told
        try:
            self._stream.write(f"{self.format(record)}\n")
            self._stream.flush()
        except (OSError, ValueError):
            return
        self._told = lost


class Json(JsonFormatter):
    """One object a line. Times are UTC."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """ISO 8601, with milliseconds."""
        return _time(record)


class Text(logging.Formatter):
    """One line a record, `key=value` for what it has besides; a traceback is indented below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Control characters are written as escapes: nothing that is logged can begin a line, or colour one."""
        words = [_time(record), record.levelname.lower(), record.name, _escaped(record.getMessage())]
        for key, value in vars(record).items():
            if key not in _OF_EVERY_RECORD and value is not None:
                shown = value if isinstance(value, str) and re.fullmatch(r"[\w./:-]+", value) else _dumped(value)
                words.append(f"{key}={shown}")
        if not record.exc_info:
            return " ".join(words)
        traceback = self.formatException(record.exc_info).splitlines()
        return "\n".join([" ".join(words), *(f"  {_escaped(line)}" for line in traceback)])


class _Ids(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        for name, variable in (("request_id", request_id), ("trace_id", trace_id)):
            if not hasattr(record, name):
                setattr(record, name, variable.get())
        return True


def configure_logs(level: str, kind: LogFormat = "json") -> None:
    """Send every log line of the process through one handler. Called by the command line, never on import."""
    logging.captureWarnings(True)
    if kind == "auto":
        kind = "text" if sys.stderr.isatty() else "json"
    formats = {
        "json": {
            "()": Json,
            "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s %(trace_id)s",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        },
        "text": {"()": Text},
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"ids": {"()": _Ids}},
            "formatters": formats,
            "handlers": {"stderr": {"()": Lines, "stream": sys.stderr, "formatter": kind, "filters": ["ids"]}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
            "loggers": {
                "uvicorn": {"level": "WARNING"},
                "PIL": {"level": "INFO"},
                "pyvips": {"level": "ERROR"},
                "asyncio": {"level": "WARNING"},
            },
        }
    )


def flush_logs() -> None:
    """Write what is queued, before something else is written to the same stream."""
    for handler in logging.root.handlers:
        handler.flush()


def lines_lost() -> int:
    """Lines that could not be written since the start."""
    return sum(handler.lost for handler in logging.root.handlers if isinstance(handler, Lines))


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dumped(value: Any) -> str:
    return _escaped(json.dumps(value, default=str))


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
