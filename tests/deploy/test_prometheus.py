"""Prometheus' own tools over its configuration and rules."""

import re
import sys

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from service.observability.metrics import Metrics
from tests.deploy.tools import ROOT, run, tool

RULES = "docker/prometheus/rules.yml"


def test_configuration_and_rules_are_valid():
    result = run(tool("promtool"), "check", "config", "docker/prometheus/prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "39 rules found" in result.stdout


def test_the_rules_do_what_they_say():
    result = run(tool("promtool"), "test", "rules", "tests/deploy/rules_test.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_is_tested_and_documented():
    rules = yaml.safe_load((ROOT / RULES).read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    tested = (ROOT / "tests/deploy/rules_test.yml").read_text()
    documented = (ROOT / "docs/alerts.md").read_text()
    for alert in alerts:
        assert re.search(rf"\b{alert}\b", tested), alert
        assert f"## {alert}\n" in documented, alert


def test_every_alert_names_its_runbook():
    """The anchor is that of the alert's own heading in docs/alerts.md."""
    rules = yaml.safe_load((ROOT / RULES).read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule):
        assert rule["annotations"]["runbook_url"].endswith(f"/alerts.html#{rule['alert'].lower()}"), rule["alert"]


def test_the_copies_of_rules_and_dashboard_are_the_originals():
    result = run(sys.executable, "scripts/manifests.py", "--check")
    assert result.returncode == 0, f"{result.stdout}differ: make manifests"
    operators = yaml.safe_load((ROOT / "k8s/components/monitoring/rules.yaml").read_text())
    assert operators["spec"]["groups"] == yaml.safe_load((ROOT / RULES).read_text())["groups"]


def test_the_metrics_pass_prometheus_own_lint():
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.http_requests.labels("/stylize", "POST", "200").inc()
    metrics.queue_pixels.labels("stylize/mosaic").set(1)
    result = run(tool("promtool"), "check", "metrics", input=generate_latest(registry).decode())
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", ["docker/prometheus/rules.yml", "docker/prometheus/prometheus.yml"])
def test_it_fits_on_a_screen(path):
    assert max(map(len, (ROOT / path).read_text().splitlines())) <= 120
