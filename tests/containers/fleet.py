"""A stand-in for a cluster, of real parts: pods by podman, nginx for the Gateway, Redis, Prometheus with our rules.

nginx gets its configuration from the rendered HTTPRoute: paths, weights and the pods that are in. What a controller
does there is done here by the test: a pod comes in when it is ready, and leaves before it is stopped.
"""

import copy
import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.containers.engine import free_port, wait_until
from tests.containers.pods import Manifest, Podman, pod, without_namespace
from tests.deploy.faults import of_kind
from tests.deploy.tools import ROOT

START_SECONDS = 240
"""Within which a pod must be ready; the machine may be busy."""

PRESTOP_SECONDS = 2
"""After a pod has left the Gateway, until it is told to stop; the manifest's own is longer."""


@dataclass(frozen=True)
class Replica:
    """A pod. track: which of the two Services selects it."""

    name: str
    track: str
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Fleet:
    """Everything that runs. folder: for its files. image: the service's."""

    podman: Podman
    folder: Path
    image: str
    replicas: list[Replica] = field(default_factory=list)
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    gateway_port: int = field(default_factory=free_port)
    prometheus_port: int = field(default_factory=free_port)
    redis_port: int = field(default_factory=free_port)
    started: int = 0
    route: Manifest = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    # Pods

    def start(self, found: list[Manifest], name: str, track: str, volumes: dict[str, Path]) -> Replica:
        """A pod of the Deployment `name` as it is rendered, until it is ready."""
        found = list(without_namespace(copy.deepcopy(found)))
        [deployment] = [each for each in of_kind(found, "Deployment") if each["metadata"]["name"] == name]
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        for variable in container.get("env", []):
            if variable["name"] in {"IMPASTO_JOB_STORE", "IMPASTO_QUOTA_STORE"}:  # from the Secret impasto-redis
                del variable["valueFrom"]
                variable["value"] = f"redis://{self.bridge()}:{self.redis_port}/0"
        self.started += 1
        called = f"fleet-{track}-{self.started}"
        manifest, port = pod(deployment, called, self.image, volumes)
        configs = [c for c in of_kind(found, "ConfigMap") if c["metadata"]["name"].startswith("impasto-settings")]
        self.podman.play(called, [*configs, manifest])
        replica = Replica(called, track, port)
        try:
            ready = f"{replica.address}/readyz"
            wait_until(lambda: httpx.get(ready, trust_env=False).status_code == 200, START_SECONDS)
        except AssertionError as error:
            raise AssertionError(self.podman.run("podman", "logs", f"{called}-service", check=False)) from error
        return replica

    def let_in(self, replica: Replica) -> None:
        """What an EndpointSlice's controller does with a pod that is ready."""
        self.replicas.append(replica)
        self.follow()

    def stop(self, replica: Replica) -> int:
        """As a rolling update does: out of the Gateway, preStop, SIGTERM. The exit code."""
        self.replicas.remove(replica)
        self.follow()
        time.sleep(PRESTOP_SECONDS)
        self.podman.run("podman", "stop", "--time", "40", f"{replica.name}-service")
        code = self.podman.run("podman", "inspect", "--format", "{{.State.ExitCode}}", f"{replica.name}-service")
        self.podman.down(replica.name)
        return int(code)

    def bridge(self) -> str:
        """This machine's address in the pods' network."""
        [network] = json.loads(self.podman.run("podman", "network", "inspect", "podman"))
        return str(network["subnets"][0]["gateway"])

    # What stands around them

    def follow(self) -> None:
        """Tell nginx and Prometheus which pods are in."""
        (self.folder / "nginx.conf").write_text(nginx(self.route, self.replicas, self.gateway_port, self.folder))
        targets = [
            {
                "targets": [f"127.0.0.1:{each.port}"],
                "labels": {"namespace": "impasto", "pod": each.name, "track": each.track},
            }
            for each in self.replicas
        ]
        temporary = self.folder / "targets.new"
        temporary.write_text(json.dumps(targets))
        temporary.replace(self.folder / "targets.json")
        if self.processes:
            command = ("nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-s", "reload")
            subprocess.run(command, check=True, capture_output=True)
            time.sleep(0.5)  # until the new workers accept, and the old ones no longer do

    def start_around(self) -> None:
        """Redis, nginx and Prometheus, of this machine's packages."""
        self.follow()
        (self.folder / "rules.yml").write_text((ROOT / "docker/prometheus/rules.yml").read_text())
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(self.scraping()))
        self.start_redis()
        self.start_process("nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-g", "daemon off;")
        self.start_process(
            "prometheus",
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{self.prometheus_port}",
        )

    def start_redis(self) -> "subprocess.Popen[bytes]":
        """On every address: the pods reach it by the bridge's."""
        where = ("--port", str(self.redis_port), "--bind", "0.0.0.0", "--protected-mode", "no")
        return self.start_process("redis-server", *where, "--save", "", "--dir", str(self.folder))

    def start_process(self, *command: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            self.processes.append(subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log))
        return self.processes[-1]

    def scraping(self) -> dict[str, Any]:
        """Prometheus' configuration: ours, but with a file of targets, and every two seconds."""
        return {
            "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {"job_name": "impasto", "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}]}
            ],
        }

    def close(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(20)
        for path in self.folder.glob("pods/fleet-*.yaml"):
            self.podman.down(path.stem)

    # Questions

    def query(self, promql: str) -> list[dict[str, Any]]:
        """What Prometheus answers; an error of the query is an error here."""
        url = f"http://127.0.0.1:{self.prometheus_port}/api/v1/query"
        given = httpx.get(url, params={"query": promql}, timeout=10, trust_env=False).json()
        assert given["status"] == "success", given
        return list(given["data"]["result"])

    def logs(self) -> str:
        """The last lines of every pod."""
        lines = (
            self.podman.run("podman", "logs", "--tail", "5", f"{r.name}-service", check=False) for r in self.replicas
        )
        return "\n".join(lines)

    def post(self, picture: bytes, **headers: str) -> httpx.Response:
        url = f"{self.address}/stylize?style=mosaic"
        return httpx.post(url, content=picture, headers=headers, timeout=60, trust_env=False)


def nginx(route: Manifest, replicas: list[Replica], port: int, folder: Path) -> str:
    """The configuration of a Gateway that implements `route` over these pods."""
    weights = {ref["name"]: ref.get("weight", 1) for ref in route["spec"]["rules"][0]["backendRefs"]}
    of_service = {"impasto": "stable", "impasto-canary": "canary"}
    shares = {of_service[name]: weight for name, weight in weights.items() if weight}
    whole = sum(shares.values())
    lines, last = [], list(shares)[-1]
    for track, weight in shares.items():
        lines.append(f"{'*' if track == last else f'{100 * weight / whole:.2f}%'} {track};")
    pods = {track: [f"server 127.0.0.1:{r.port};" for r in replicas if r.track == track] for track in shares}
    upstreams = [f"upstream {track} {{ {' '.join(each or ['server 127.0.0.1:1;'])} }}" for track, each in pods.items()]
    locations = []
    for rule in route["spec"]["rules"]:
        for match in rule["matches"]:
            path = match["path"]["value"]
            how = f"= {path}" if match["path"]["type"] == "Exact" else f"~ ^{path}(/|$)"
            locations.append(f"location {how} {{ proxy_pass http://$track; proxy_http_version 1.1; }}")
    return "\n".join(
        [
            f"pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;",
            "events { worker_connections 512; }",
            "http {",
            f"access_log off; client_max_body_size 32m; client_body_temp_path {folder}/body;",
            f"proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;",
            f"scgi_temp_path {folder}/s; proxy_read_timeout 120s;",
            "split_clients $request_id $track {",
            *lines,
            "}",
            *upstreams,
            f"server {{ listen 127.0.0.1:{port};",
            *locations,
            "location / { return 404; } } }",
        ]
    )
