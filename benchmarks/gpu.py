"""What a GPU must show: first that it is right, then how quick it is. No GPU has run it yet.

    python benchmarks/gpu.py [--device cuda:0] [--vgg16 PATH] [--results docs/results.md]     about 10 minutes
    python benchmarks/gpu.py --device cpu --quick                                             the same code, on a CPU

Prints each finding, writes out/gpu.json, and with --results a section. LitServe is measured beside the service where
it is installed (benchmarks/peers/requirements.txt). The exit code is 1 if a check failed.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import gpu_checks
import gpu_speed
import torch
from engine import table
from gpu_checks import Finding
from gpu_speed import FULL, QUICK, Effort, Row

from trainer.evaluation.results import this_machine
from trainer.evaluation.sections import write_section

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Check and measure one device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--quick", action="store_true", help="Small pictures and short measurements.")
    parser.add_argument("--vgg16", type=Path, help="Needed to measure training.")
    parser.add_argument("--results", type=Path, help="The document that gets a section.")
    parser.add_argument("--json", type=Path, default=ROOT / "out" / "gpu.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu.py: torch finds no CUDA device; expected one, or --device cpu")
    effort = QUICK if options.quick else FULL
    findings: list[Finding] = []

    def report(finding: Finding) -> None:
        findings.append(finding)
        print(f"{_word(finding.passed):8}{finding.check}, {finding.case}: {finding.result}", flush=True)

    gpu_checks.run(device, effort.side, report)
    tables = {title: _shown(title, measure) for title, measure in _measurements(device, effort, options.vgg16).items()}
    measured = {"device": name_of(device), "findings": [asdict(finding) for finding in findings], "tables": tables}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(measured, indent=1))
    if options.results:
        write_section(options.results, "benchmarks/gpu.py", document(measured["device"], findings, tables))
    if any(finding.passed is False for finding in findings):
        sys.exit(1)


def _measurements(device: torch.device, effort: Effort, vgg16: Path | None) -> dict[str, Callable[[], list[Row]]]:
    return {
        "Networks": lambda: gpu_speed.networks(device, effort),
        "A picture of 2 megapixels": lambda: gpu_speed.path_of_a_picture(device, effort),
        "Eight clients": lambda: gpu_speed.served(device, effort),
        "Training": lambda: gpu_speed.trained(device, effort, vgg16),
    }


def _shown(title: str, measure: Callable[[], list[Row]]) -> list[Row]:
    print(f"\n{title}", flush=True)
    rows = measure()
    print(table(rows) if rows else "not measured", flush=True)
    return rows


def _word(passed: bool | None) -> str:
    return {True: "passed", False: "FAILED", None: "not run"}[passed]


def name_of(device: torch.device) -> str:
    """Return the name of the card, or of the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else this_machine().processor


def document(device: str, findings: list[Finding], tables: dict[str, list[Row]]) -> str:
    """Return the section of docs/results.md."""
    checks: list[Row] = [
        {"check": each.check, "case": each.case, "result": each.result, "": _word(each.passed)} for each in findings
    ]
    lines = [f"## A GPU\n\n`python benchmarks/gpu.py`, {device}, {this_machine().date}.\n", table(checks)]
    for title, rows in tables.items():
        lines += [f"\n### {title}\n", table(rows) if rows else "Not measured."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
