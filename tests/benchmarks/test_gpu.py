"""The command for GPUs, on the CPU: the checks pass, and every table that can be measured has rows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.long
def test_the_command_runs_on_a_cpu_and_writes_a_section(tmp_path):
    results, figures = tmp_path / "results.md", tmp_path / "gpu.json"
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--quick", "--json", figures]
    done = subprocess.run([*command, "--results", results], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads(figures.read_text())
    verdicts = {finding["check"]: finding["passed"] for finding in measured["findings"]}
    assert [check for check, passed in verdicts.items() if passed is None] == ["lack of memory", "two devices"]
    assert all(passed is not False for passed in verdicts.values())
    assert [title for title, rows in measured["tables"].items() if not rows] == ["Training"]
    text = results.read_text()
    assert "## A GPU" in text
    assert "| golden output | stylize/mosaic |" in text


def test_without_a_gpu_it_says_what_it_expects():
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cuda:0"]
    environment = {"PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr == "gpu.py: torch finds no CUDA device; expected one, or --device cpu\n"
