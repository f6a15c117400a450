"""Prometheus' own tools over its configuration and rules."""

import re

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from service.observability.metrics import Metrics
from tests.deploy.tools import ROOT, run, tool

RULES = "docker/prometheus/rules.yml"


def test_configuration_and_rules_are_valid():
    result = run(tool("promtool"), "check", "config", "docker/prometheus/prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "27 rules found" in result.stdout


def test_the_rules_do_what_they_say():
    result = run(tool("promtool"), "test", "rules", "tests/deploy/rules_test.yml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_is_tested_and_documented():
    rules = yaml.safe_load((ROOT / RULES).read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    tested = (ROOT / "tests/deploy/rules_test.yml").read_text()
    documented = (ROOT / "docs/deploy.md").read_text()
    for alert in alerts:
        assert re.search(rf"\b{alert}\b", tested), alert
        assert f"`{alert}`" in documented, alert


def test_the_operators_rules_are_the_same():
    ours = yaml.safe_load((ROOT / RULES).read_text())["groups"]
    operators = yaml.safe_load((ROOT / "k8s/components/monitoring/rules.yaml").read_text())
    assert operators["spec"]["groups"] == ours


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
