"""What `make soak` counted (out/soak.json), in words: a section of docs/results.md, by `benchmarks/document.py`."""

from typing import Any

import engine

Figures = dict[str, Any]


def document(runs: dict[str, Figures]) -> str:
    """Each of its runs a paragraph; those that have not been made are left out."""
    head = (
        f"## Soak\n\n`make soak`, then `python benchmarks/document.py`, {engine.machine()}.\n"
        "It fails where a request is unaccounted for, or memory or open files have grown by more than 5 %\n"
        "(`tests/soak/test_chaos.py`)."
    )
    writers = {"mixed": _mixed, "bad_requests": _bad_requests, "mutations": _mutations, "killed_worker": _killed_worker}
    floods = {name: run for name, run in runs.items() if name.startswith("flood of ")}
    told = [write(runs[name]) for name, write in writers.items() if name in runs]
    return "\n\n".join([head, *told, *([_floods(floods)] if floods else [])])


def _mixed(run: Figures) -> str:
    rows: list[engine.Row] = [
        {"clients": name, "requests": sum(counts.values()), "outcomes": _outcomes(counts)}
        for name, counts in run["clients"].items()
    ]
    return (
        f"Everything at once for {run['minutes']:g} minutes. The service counted {run['counted']} requests,\n"
        f"its clients {run['requests']}, of which {run['hung_up']} hung up. Meanwhile {run['swaps']} hot swaps,\n"
        f"{run['floods']} floods, {run['decoders_killed']} SIGSEGV to decoders ({run['decoders_replaced']} replaced),\n"
        f"{run['stops']} times SIGSTOP for a second; the log was a full disk ({run['log_lines_lost']} lines lost).\n"
        f"{_kept(run)}\n\n{engine.table(rows)}"
    )


def _bad_requests(run: Figures) -> str:
    return (
        f"{run['requests']} requests in {run['seconds']} s, wrong or dropped ({run['hung_up']} hung up),\n"
        f"and then a good one: {run['good']}. {_kept(run)}"
    )


def _mutations(run: Figures) -> str:
    first, last = run["memory_mib"]
    return (
        f"{run['files']} mutated files: {_outcomes(run['statuses'])}; {run['decoders_replaced']} decoders replaced.\n"
        f"The service had {first:.0f} MiB after a fifth of them and {last:.0f} MiB in the end, a decoder at most\n"
        f"{run['most_of_a_decoder_mib']:.0f} MiB."
    )


def _killed_worker(run: Figures) -> str:
    return (
        f"A worker thread killed under load: {_outcomes(run['outcomes'])}; exit code {run['exit_code']};\n"
        f"the next process answers {run['next_process']}."
    )


def _floods(runs: dict[str, Figures]) -> str:
    kinds = {"": "rests", "_restless": "never rests"}
    rows: list[engine.Row] = [
        {
            "beside a": name,
            "the quiet one": said,
            "p95 alone, s": round(run[f"p95{kind}_alone"], 2),
            "p95 beside, s": round(run[f"p95{kind}_beside"], 2),
            "times": round(run[f"p95{kind}_beside"] / run[f"p95{kind}_alone"], 2),
            "the flood heard": _outcomes(run["heard"]) if not kind else "",
        }
        for name, run in runs.items()
        for kind, said in kinds.items()
    ]
    rest = next(iter(runs.values()))["rest_seconds"]
    return (
        "A flood of 24 clients with one key, and a client with another who asks for 800 x 600 pixels and rests for\n"
        f"{rest:g} s, or never, which is asking for all of the device (`tests/soak/test_flood.py` asserts less than\n"
        f"twice for who rests):\n\n{engine.table(rows)}"
    )


def _outcomes(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in sorted(counts.items()))


def _kept(run: Figures) -> str:
    (memory, memory_after), (files, files_after) = run["memory_mib"], run["open_files"]
    return f"Memory: {memory:.0f} MiB, {memory_after:.0f} MiB in the end; open files: {files}, {files_after}."
