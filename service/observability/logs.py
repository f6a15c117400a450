"""Log lines on standard error, as JSON or as text for a terminal. Each line of a request carries its IDs.

A logging call only queues its line. A stream that is full, closed or not read loses lines and never blocks a request.
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
"""The ID of the request of the current asyncio task."""

trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""The trace ID of that request: 32 hexadecimal digits."""

facts: ContextVar[dict[str, object] | None] = ContextVar("facts", default=None)
"""Additional fields for the log line of that request; see `note`."""

_MOST_WAITING = 10_000
_FLUSH_SECONDS = 2.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def note(**more: object) -> None:
    """Add fields to the log line of the current request. Values are numbers, or names made by the service."""
    if (noted := facts.get()) is not None:
        noted.update(more)


class Lines(logging.Handler):
    """A handler that writes lines on its own thread."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream, self._lost, self._told = stream, 0, 0
        self._waiting: queue.Queue[str] = queue.Queue(_MOST_WAITING)
        threading.Thread(target=self._write_all, name="logs", daemon=True).start()

    @property
    def lost(self) -> int:
        """Return the number of lines that could not be queued or written."""
        return self._lost

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line."""
        try:
            self._waiting.put_nowait(self.format(record))
        except Exception:  # noqa: BLE001  # a full queue or a wrong format must not fail the caller
            self._lost += 1

    def flush(self) -> None:
        """Wait until all lines are written, for at most _FLUSH_SECONDS, since the stream may not be read."""
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
    """Formats a record as one JSON object per line. Times are UTC."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """Return the time in ISO 8601 with milliseconds."""
        return _time(record)


class Text(logging.Formatter):
    """Formats a record as one line with `key=value` fields, and a traceback as indented lines below."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line with control characters escaped, so that no value can start or colour a line."""
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
    """Send every log line of the process through one handler. Only the command line calls this."""
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
    """Write the queued lines, before something else is written to the same stream."""
    for handler in logging.root.handlers:
        handler.flush()


def lines_lost() -> int:
    """Return the number of lost lines since the start."""
    return sum(handler.lost for handler in logging.root.handlers if isinstance(handler, Lines))


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dumped(value: Any) -> str:
    return _escaped(json.dumps(value, default=str))


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
