"""The section of docs/results.md about `make soak`: Markdown from out/soak.json."""

from typing import Any

import engine

Figures = dict[str, Any]


def document(runs: dict[str, Figures]) -> str:
    """Return a paragraph for each run; runs that have not been made are left out."""
    head = (
        f"## Soak\n\n`make soak`, then `python benchmarks/document.py`, {engine.machine()}.\n"
        "The test fails if a request is unaccounted for, or if memory or open files grow by more than 5 %."
    )
    writers = {
        "mixed": _mixed,
        "bad_requests": _bad_requests,
        "mutations": _mutations,
        "killed_worker": _killed_worker,
    }
    floods = {name: run for name, run in runs.items() if name.startswith("flood of ")}
    told = [write(runs[name]) for name, write in writers.items() if name in runs]
    return "\n\n".join([head, *told, *([_floods(floods)] if floods else [])])


def replicas(run: Figures) -> str:
    """Return the section about jobs whose processes are killed."""
    return (
        "## Jobs while processes are killed\n\n"
        f"`make soak` (`tests/soak/test_replicas.py`), then `python benchmarks/document.py`, {engine.machine()}.\n"
        f"{run['jobs']} jobs of three owners over three processes took {run['seconds']} s. Meanwhile a process ended\n"
        f"every {run['kill_seconds']:g} s ({run['processes_ended']} in all), and Redis {run['redis_restarts']} times.\n"
        f"Each owner has every result, once; {run['computed_twice']} jobs were computed twice."
    )


def _mixed(run: Figures) -> str:
    rows: list[engine.Row] = [
        {"clients": name, "requests": sum(counts.values()), "outcomes": _outcomes(counts)}
        for name, counts in run["clients"].items()
    ]
    return (
        f"Mixed load for {run['minutes']:g} minutes. The service counted {run['counted']} requests and its clients\n"
        f"{run['requests']}, of which {run['hung_up']} disconnected. Meanwhile: {run['swaps']} replaced checkpoints,\n"
        f"{run['floods']} floods, {run['decoders_killed']} SIGSEGV to decoders ({run['decoders_replaced']} replaced),\n"
        f"{run['stops']} times SIGSTOP for a second, and a full disk for the log ({run['log_lines_lost']} lines).\n"
        f"{_kept(run)}\n\n{engine.table(rows)}"
    )


def _bad_requests(run: Figures) -> str:
    return (
        f"{run['requests']} wrong or dropped requests in {run['seconds']} s ({run['hung_up']} disconnected),\n"
        f"then a good one: {run['good']}. {_kept(run)}"
    )


def _mutations(run: Figures) -> str:
    first, last = run["memory_mib"]
    return (
        f"{run['files']} mutated files: {_outcomes(run['statuses'])}; {run['decoders_replaced']} decoders replaced.\n"
        f"Memory: {first:.0f} MiB after a fifth of them, {last:.0f} MiB at the end; a decoder at most\n"
        f"{run['most_of_a_decoder_mib']:.0f} MiB."
    )


def _killed_worker(run: Figures) -> str:
    return (
        f"A worker thread killed under load: {_outcomes(run['outcomes'])}; exit code {run['exit_code']};\n"
        f"response of the next process: {run['next_process']}."
    )


def _floods(runs: dict[str, Figures]) -> str:
    kinds = {"": "pauses", "_restless": "never pauses"}
    rows: list[engine.Row] = [
        {
            "flood of": name.removeprefix("flood of "),
            "quiet client": said,
            "p95 alone, s": round(run[f"p95{kind}_alone"], 2),
            "p95 beside, s": round(run[f"p95{kind}_beside"], 2),
            "times": round(run[f"p95{kind}_beside"] / run[f"p95{kind}_alone"], 2),
            "responses to the flood": _outcomes(run["heard"]) if not kind else "",
        }
        for name, run in runs.items()
        for kind, said in kinds.items()
    ]
    rest = next(iter(runs.values()))["rest_seconds"]
    return (
        "A flood of 24 clients with one key, and a quiet client with another key. The quiet client sends images of\n"
        f"800 x 600 pixels and pauses for {rest:g} s between them, or never. With pauses, `test_flood.py` asserts a\n"
        f"factor below 2.\n\n{engine.table(rows)}"
    )


def _outcomes(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in sorted(counts.items()))


def _kept(run: Figures) -> str:
    (memory, memory_after), (files, files_after) = run["memory_mib"], run["open_files"]
    return f"Before: {memory:.0f} MiB, {files} open files. After: {memory_after:.0f} MiB, {files_after} open files."
