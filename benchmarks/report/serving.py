"""The section of docs/results.md that compares Impasto with other servers: Markdown from out/serving.json."""

from collections.abc import Iterable
from pathlib import Path

from chosen import MEAN_LEVELS
from engine import Row, table

from report import plots
from report.sections import IMAGES, Report, met, where


def serving(found: Report, images: Path = IMAGES) -> str:
    """Return throughput and latency, overload and targets as Markdown."""
    done = [arm for arm in found["arms"] if "failed" not in arm]
    pictures = found["pictures"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    bare = ", ".join(f"{name} {value:.2f}" for name, value in found["bare"].items())
    lines = [
        "## Beside other servers",
        "",
        (
            f"`make bench PART=serving`, {where(found)}; {versions}.\n{pictures['count']} photographs, longer side "
            f"{pictures['sides_px'][0]} to {pictures['sides_px'][1]} px, {pictures['megapixels']:.1f} "
            f"megapixels in all; "
            "JPEG in, JPEG out; `mosaic`, for all. Clients run on the same machine. "
            f'Impasto and "our network settings" compute in {found["precision"]}, which Impasto chooses here. '
            "[Benchmarks](performance.md#how-servers-are-compared) describes the method and the two settings."
        ),
        "",
        "Megapixels/s with 1, 4, 8 and 16 clients; the other columns are for 8 clients.",
        "",
        table(_throughput(done)),
        "",
        *_stages(done),
        f"Loops without a server, megapixels/s: {bare}.",
        "",
        *_wrong(done, found["precision"], found["tolerance, levels"]),
        "",
        "**Overload.** Poisson arrivals at twice what the server answered at 8 clients; clients disconnect after 3 s.",
        "",
        table(_overloads(done)),
        "",
        "**With the network of pytorch/examples** (full width, fp32, seeded weights), 8 clients, one round:",
        "",
        table(_full(done)) if any(arm["network"] != "style" for arm in done) else "Not measured.",
        "",
        "![95th percentile against megapixels/s](images/bench_serving.svg)",
        "",
        *_targets(done, found["bare"]),
        *(f"\nFailed: {arm['name']}, {arm['setting']}: {arm['failed']}" for arm in found["arms"] if "failed" in arm),
    ]
    curves = {
        (arm["name"], arm["setting"]): ([row["MP/s"] for row in arm["sweep"]], [row["p95, s"] for row in arm["sweep"]])
        for arm in done
        if arm["network"] == "style"
    }
    counts = [str(row["clients"]) for row in _half(done)[0]["sweep"]] if _half(done) else []
    plots.lines(images / "bench_serving.svg", "megapixels/s answered", "95th percentile, s", curves, counts)
    return "\n".join(lines)


def _half(arms: Iterable[Report]) -> list[Report]:
    return [arm for arm in arms if arm["network"] == "style"]


def _at_8(arm: Report) -> Report:
    row: Report = next(row for row in arm["sweep"] if row["clients"] == 8)
    return row


def _throughput(arms: list[Report]) -> list[Row]:
    return [
        {
            "": f"{arm['name']}, {arm['setting']}",
            **{f"{row['clients']}": row["MP/s"] for row in arm["sweep"]},
            "images/s": _at_8(arm)["images/s"],
            **{name: _at_8(arm)[name] for name in ("p50, s", "p95, s", "p99, s")},
            "errors": sum(row["errors"] for row in arm["sweep"]),
            "CPU": _at_8(arm)["CPU"],
            "peak, GB": arm["peak, GB"],
        }
        for arm in _half(arms)
    ]


def _stages(arms: list[Report]) -> list[str]:
    """Return the mean time per stage of each server that reports it."""
    lines = []
    for arm in _half(arms):
        row = _at_8(arm)
        stages = {
            stage: row[f"{stage}, s"] for stage in ("decode", "queue", "forward", "encode") if f"{stage}, s" in row
        }
        if stages:
            said = ", ".join(f"{stage} {seconds:.3f} s" for stage, seconds in stages.items())
            lines += [f"{arm['name']}, {arm['setting']}, mean time of a request with 8 clients: {said}.", ""]
    return lines


def _overloads(arms: list[Report]) -> list[Row]:
    return [
        {
            "": f"{arm['name']}, {arm['setting']}",
            "sent/s": arm["overload"]["sent/s"],
            "in time/s": arm["overload"]["in time, images/s"],
            "in time, MP/s": arm["overload"]["in time, MP/s"],
            "share in time": arm["overload"]["share in time"],
            "p95 of those, s": arm["overload"]["p95, s"],
            "statuses": arm["overload"]["statuses"],
        }
        for arm in _half(arms)
        if arm["overload"]
    ]


def _full(arms: list[Report]) -> list[Row]:
    return [
        {"": arm["name"], "MP/s": _at_8(arm)["MP/s"], "p95, s": _at_8(arm)["p95, s"], "peak, GB": arm["peak, GB"]}
        for arm in arms
        if arm["network"] != "style"
    ]


def _wrong(arms: list[Report], precision: str, tolerance: float) -> list[str]:
    rows = [(arm, [*arm["sweep"], *([arm["overload"]] if arm["overload"] else [])]) for arm in arms]
    wrong = {f"{arm['name']}, {arm['setting']}": sum(row["wrong"] for row in all_rows) for arm, all_rows in rows}
    unlike = {
        f"{arm['name']}, {arm['setting']}": sum(row["unlike_alone"] for row in all_rows)
        for arm, all_rows in rows
        if arm["network"] == "style"
    }
    reduced = "" if precision == "fp32" else f"{tolerance:.0f} for {precision}; "
    judged = sum(row["judged"] for _, all_rows in rows for row in all_rows)
    differing = ", ".join(f"{name}: {count}" for name, count in unlike.items() if count) or "none"
    return [
        f"**Correctness.** {judged} responses were compared with the image computed alone in fp32 and encoded in "
        f"the same way. Wrong (mean difference above {MEAN_LEVELS['fp32']:.1f} levels of 255; {reduced}3 for the "
        f"network of pytorch/examples): {sum(wrong.values())}"
        + ("" if not sum(wrong.values()) else " (" + ", ".join(f"{k}: {v}" for k, v in wrong.items() if v) + ")")
        + f". Different in any bit from the response of the same server to that request alone: {differing}."
    ]


def _targets(arms: list[Report], bare: dict[str, float]) -> list[str]:
    ours = [arm for arm in _half(arms) if arm["name"] == "Impasto"]
    documented = [arm for arm in _half(arms) if arm["setting"] == "as documented"]
    peers = [arm for arm in _half(arms) if arm["name"] != "Impasto"]
    tuned = [arm for arm in peers if arm["setting"] == "our network settings"]
    if not ours or not peers:
        return []
    lines = ["**Targets**, for the better setting of Impasto:", ""]
    best = max(_at_8(arm)["MP/s"] for arm in ours)
    loop = max(value for name, value in bare.items() if "in bands" in name)
    lines.append(f"- 0.95 of the bare loop: {met(best >= 0.95 * loop)} ({best / loop:.2f}).")
    if documented:
        quickest = max(documented, key=lambda arm: float(_at_8(arm)["MP/s"]))
        ratio = best / _at_8(quickest)["MP/s"]
        lines.append(f"- 3 times each server as documented: {met(ratio >= 3)} ({ratio:.1f}, {quickest['name']}).")
    if tuned:
        quickest = max(tuned, key=lambda arm: float(_at_8(arm)["MP/s"]))
        ratio = best / _at_8(quickest)["MP/s"]
        lines.append(
            f"- 1.8 times each with our network settings: {met(ratio >= 1.8)} ({ratio:.1f}, {quickest['name']})."
        )
    timely = max(arm["overload"]["in time, images/s"] for arm in ours)
    rival = max(peers, key=lambda arm: float(arm["overload"]["in time, images/s"]))
    theirs = rival["overload"]["in time, images/s"]
    ratio = timely / theirs if theirs else float("inf")
    lines.append(
        f"- 3 times the responses of the best server within 3 s at twice the load: {met(ratio >= 3)} "
        f"({timely:.2f}/s, {rival['name']} {rival['setting']} {theirs:.2f}/s)."
    )
    return lines
