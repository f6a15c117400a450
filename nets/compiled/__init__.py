"""Runs the styles of a trunk in OpenVINO: the same output as torch's but for rounding, in less time on some CPUs.

net --graph.trunk_graph--> model --trunk.CompiledTrunk--> pictures

It needs the package `openvino`. See docs/decisions/0027-openvino.md.
"""

import sys

# OpenVINO reports its own import over the network, in a thread. Where this package is missing, it reports nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it fails
