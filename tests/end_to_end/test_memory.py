"""A real process is sent everything that claims to be large; its memory is watched."""

import re
from pathlib import Path

import httpx
import pytest

from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from tests.conftest import encoded, picture, save_net, seeded, tiny_style_net
from tests.end_to_end.test_serve import address_in, service
from tests.hostile import bombs

MOST_PIXELS = 1_000_000
MOST_GROWTH_MB = 100
"""A picture of MOST_PIXELS, its answer of four times as many, and what decoders keep for themselves."""


def peak_mb(process) -> int:
    """Of the service and its decoders together."""
    pids = [process.pid]
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        pids += [int(pid) for pid in (thread / "children").read_text().split()]
    found = [re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()) for pid in pids]
    return sum(int(each[1]) for each in found if each) // 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.long
def test_no_file_takes_more_memory_than_the_limits_allow(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net())
    save_net(tmp_path, "x2", seeded(SuperResolutionNet(SuperResolutionConfig(factor=2, width=4, residual_blocks=1)), 0))
    with service(checkpoints=tmp_path, max_pixels=MOST_PIXELS) as (process, lines):
        address = address_in(lines[0])
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
            for pixels in (picture(40, 40), picture(1000, 1000)):
                assert client.post("/upscale?factor=2", content=encoded(pixels)).status_code == 200
            before = peak_mb(process)
            for name, (data, expected) in bombs().items():
                response = client.post("/upscale?factor=2&metadata=keep", content=data)
                assert response.status_code in expected, (name, response.text[:300])
                assert peak_mb(process) - before < MOST_GROWTH_MB, name
        assert process.poll() is None
