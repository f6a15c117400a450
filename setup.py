"""What pyproject.toml cannot say: the bundled checkpoints lie in `checkpoints/`, and in a wheel in `nets/checkpoints/`.

An image's build leaves the folder out: it keeps the checkpoints at /checkpoints, where a volume can lie over them.
"""

from pathlib import Path

from setuptools import find_packages, setup

packages = find_packages(include=["nets*", "service*", "trainer*"])
if Path("checkpoints").is_dir():
    packages.append("nets.checkpoints")
setup(packages=packages, package_dir={"nets.checkpoints": "checkpoints"})
