"""The sections of docs/results.md that `make bench` writes: Markdown from the JSON of each part."""

from pathlib import Path
from statistics import mean
from typing import Any

from engine import Row, table

from report import plots

IMAGES = Path(__file__).resolve().parent.parent.parent / "docs" / "images"
Report = dict[str, Any]


def startup(found: Report, _images: Path = IMAGES) -> str:
    """Return the time until ready, and of the imports, as Markdown."""
    ready, lazy = (row["times torch and weights"] for row in found["rows"][2:])
    return "\n".join(
        [
            "## Start",
            "",
            (
                f"`make bench PART=startup`, {where(found)}. Median of {found['repeats']} fresh processes with cached "
                "files."
            ),
            "",
            table(found["rows"]),
            "",
            (
                f"Target, ready within 1.5 times `import torch` and weights: {met(ready <= 1.5)} ({ready:.1f} times); "
                f"with each network loaded at its first request: {met(lazy <= 1.5)} ({lazy:.1f} times)."
            ),
            "",
            "Import time by package (`-X importtime`, code of its own modules):",
            "",
            table(
                [
                    {"": f"`{row['package']}`", "ms": row["own code, ms"]}
                    for row in found["imports"]
                    if row["own code, ms"] >= 50
                ]
            ),
        ]
    )


_NETWORK_NAMES = {"style": "`mosaic`", "x4": "`x4`, faithful"}


def _network_row(row: Report) -> Row:
    """Return one network in one runtime as a row of the table."""
    return {
        "network": _NETWORK_NAMES[row["network"]],
        "runtime": row["runtime"],
        "s/MP": row["s/MP"],
        "peak, GB": row["peak, GB"],
        "share of peak": row["share of peak"],
        "first pass, s": row["first, s"],
        "levels: mean": row["mean"],
        "99th": row["99th"],
        "largest": row["largest"],
    }


def networks(found: Report, _images: Path = IMAGES) -> str:
    """Return one table of all networks in all runtimes as Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    peaks = ", ".join(f"{name} {value / 1e9:.0f} GFLOP/s" for name, value in found["peaks"].items())
    names = _NETWORK_NAMES
    rows = [_network_row(row) for row in found["rows"] if "failed" not in row]
    failures = [
        f"{names[row['network']]} in {row['runtime']}: {row['failed']}" for row in found["rows"] if "failed" in row
    ]
    ours = {row["network"]: row for row in found["rows"] if row["runtime"].startswith("Impasto") and "s/MP" in row}
    share = ours["style"]["share of peak"] if "style" in ours else float("nan")
    bf16 = "" if found["precision"] == "bf16" else "Runtimes in bf16 are left out: this CPU does not compute in it. "
    sizes = ", ".join(f"{names[name]} {width} x {height}" for name, (width, height) in found["sizes"].items())
    return "\n".join(
        [
            "## Networks in other runtimes",
            "",
            (
                f"`make bench PART=networks`, {where(found)}; {versions}.\nPeaks in the same run: {peaks}. One "
                f"image ({sizes}). Seconds per megapixel of input are the median of four; each row is a fresh process. "
                "Levels are the difference from torch eager fp32, of 255. The share is of the peak of a 3x3 "
                f"convolution in {found['precision']}, which Impasto chooses here. {bf16}int8 is post-training, "
                "calibrated on three other photographs. ONNX Runtime and OpenVINO run a model of fixed size; "
                "torch.compile also one of any size."
            ),
            "",
            table(rows),
            "",
            f"Target, the style network at 65 % of the peak: {met(share >= 0.65)} ({share:.0%}).",
            "",
            "Share of each operation as the service computes the network (torch profiler):",
            "",
            *(
                f"- {names[name]}: "
                + ", ".join(f"`{operation}` {share:.0%}" for operation, share in shares.items() if share >= 0.02)
                for name, shares in found["profiles"].items()
            ),
            *(f"\nFailed: {failure}" for failure in failures),
        ]
    )


def paper(found: Report, _images: Path = IMAGES) -> str:
    """Return the paper's table of speed, and the ratio at equal objective, as Markdown."""
    rows: list[Row] = [
        {key: value for key, value in row.items() if key != "timed iterations"} for row in found["speed"]
    ]
    equal: list[Row] = [
        {key: "not reached" if value is None else value for key, value in row.items()} for row in found["equal"]
    ]
    reached = [row["equal after"] for row in found["equal"] if row["equal after"] is not None]
    timed = found["speed"][0]["timed iterations"]
    lines = [
        "## The paper's speed",
        "",
        (
            f"`make bench PART=paper`, {where(found)}. Style `{found['style']}`, both in {found['precision']}, the "
            f"network as the service computes it. Gatys was timed for {timed} iterations at each size; the ratios "
            "multiply one iteration by 100, 300 and 500."
        ),
        "",
        table(rows),
        "",
        f"The objective of the recipe at {found['speed'][0]['side, px']} px, measured:",
        "",
        table(equal),
        "",
    ]
    if reached:
        after = mean(reached)
        ratios = ", ".join(
            f"{after * row['Gatys, s an iteration'] / row['network, s']:.0f} at {row['side, px']} px"
            for row in found["speed"]
        )
        lines.append(
            f"Gatys reaches the objective of the network after {after:.0f} iterations, the mean over the photographs "
            f"where it did. At that count, the network is faster by these factors: {ratios}."
        )
    first = found["speed"][0]
    doubled = all(first[f"ratio to {n}"] >= 2 * ratio for n, ratio in ((100, 212), (300, 636), (500, 1060)))
    lines += ["", f"Target, twice the ratios of the paper at 256 px (212, 636, 1060, *unverified*): {met(doubled)}."]
    return "\n".join(lines)


def upscaling(found: Report, images: Path = IMAGES) -> str:
    """Return quality against speed for x4 as Markdown."""
    sets = list(dict.fromkeys(row["set"] for row in found["rows"]))
    lines = [
        "## Quality against speed, x4",
        "",
        (
            f"`make bench PART=upscaling`, {where(found)}. Whole sets; seconds per megapixel of output, without "
            "decoding. The models of UpscalerJS come from npm (@upscalerjs/esrgan-slim and -medium 1.0.0) and run in "
            "torch, so the first tables compare weights. The last table runs them in JavaScript."
        ),
    ]
    for name in sets:
        rows = [
            {
                "method": row["method"],
                "parameters": f"{row['parameters']:,}",
                "PSNR, dB": f"{row['PSNR, dB']:.2f}",
                "SSIM": f"{row['SSIM']:.4f}",
                "s/MP": row["s/MP"],
            }
            for row in found["rows"]
            if row["set"] == name
        ]
        lines += ["", f"**{name.capitalize()}**", "", table(rows)]
    if found["javascript"]:
        lines += ["", "The same models in TensorFlow.js on WebAssembly (Node.js, one image, the best pass):"]
        lines += ["", table(found["javascript"])]
    last = {row["method"]: (row["s/MP"], row["PSNR, dB"]) for row in found["rows"] if row["set"] == sets[-1]}
    plots.points(images / "bench_upscaling.svg", "seconds per megapixel of output", f"PSNR on Y, dB, {sets[-1]}", last)
    lines += ["", f"![PSNR against seconds for each method on {sets[-1]}](images/bench_upscaling.svg)", ""]
    ours, srcnn = (next(v for k, v in last.items() if word in k) for word in ("faithful", "SRCNN"))
    lines.append(f"Target, better PSNR than SRCNN in less time: {met(ours[1] > srcnn[1] and ours[0] < srcnn[0])}.")
    rivals = [value for key, value in last.items() if key.startswith("UpscalerJS")]
    if rivals:
        better = all(ours[1] >= decibels or ours[0] <= seconds for seconds, decibels in rivals)
        ahead = all(ours[1] >= decibels and ours[0] <= seconds for seconds, decibels in rivals)
        lines.append(
            f"Target, no packaged model is both better and faster: {met(better)}; each is worse and slower: "
            f"{met(ahead)}."
        )
    return "\n".join(lines)


def met(yes: bool) -> str:
    """Return "met" or "missed"."""
    return "met" if yes else "missed"


def where(found: Report) -> str:
    """Return date, processor, threads and torch version in words."""
    machine = found["machine"]
    return f"{machine['date']}: {machine['processor']}, {machine['threads']} threads, torch {machine['torch_version']}"
