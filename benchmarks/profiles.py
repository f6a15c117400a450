"""Enlarging an image in its own wide profile, compared with a conversion to sRGB. Prints a table, writes JSON to out/.

    PYTHONPATH=. python benchmarks/profiles.py

The photographs of docs/images are converted to a wide profile, or treated as if they were in it, reduced by 4 and
enlarged by x4. PSNR in dB against the original, in the values of the profile. With sRGB, the part outside sRGB is
enlarged separately and added, as in `service.images.restore`.
"""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nets.checkpoint import load
from nets.pixels import Picture, from_network, to_network
from service.images.profile import Profile
from service.images.resize import resized
from tests.files import ADOBE_RGB, DISPLAY_P3, rgb_profile

ROOT = Path(__file__).resolve().parent.parent
PROFILES = {
    "Display P3": rgb_profile(DISPLAY_P3),
    "Adobe RGB, gamma 2.2": rgb_profile(ADOBE_RGB, 2.2),
    "Adobe RGB, gamma 1.8": rgb_profile(ADOBE_RGB, 1.8),
    "Adobe RGB, linear light": rgb_profile(ADOBE_RGB, 1.0),
}


def psnr(seen: Picture, meant: Picture) -> float:
    """Return the PSNR in dB of 8-bit values."""
    return float(10 * np.log10(255**2 / np.mean((seen.astype(float) - meant) ** 2)))


def photographs() -> list[NDArray[np.uint8]]:
    """Return photographs of at most 640 pixels a side, cropped to multiples of 4."""
    found = []
    for path in sorted((ROOT / "docs/images/photographs").glob("*.jpg")):
        with Image.open(path) as image:
            image.thumbnail((640, 640))
            width, height = (side // 4 * 4 for side in image.size)
            found.append(np.asarray(image.convert("RGB").crop((0, 0, width, height))))
    return found


@torch.inference_mode()
def main() -> None:
    """Compare on every photograph."""
    net = load(ROOT / "checkpoints/upscale/x4.safetensors").net.eval()

    def enlarged(small: Picture) -> Picture:
        return from_network(net(to_network([small])))[0]

    rows = []
    for name, icc in PROFILES.items():
        profile = Profile(icc, "RGB")
        for how in ("converted", "assigned"):
            own_numbers, by_srgb = [], []
            for photograph in photographs():
                meant = profile.from_srgb(photograph) if how == "converted" else photograph
                height, width = meant.shape[:2]
                small = np.asarray(Image.fromarray(meant).resize((width // 4, height // 4), Image.Resampling.BICUBIC))
                own_numbers.append(psnr(enlarged(small), meant))
                srgb = profile.to_srgb(small)
                back, lost = profile.from_srgb(enlarged(srgb)).astype(int), profile.lost(small, srgb)
                back += 0 if lost is None else resized(lost, height, width)
                by_srgb.append(psnr(back.clip(0, 255).astype(np.uint8), meant))
            row = {"profile": name, "photographs": how}
            row |= {"own_numbers_db": round(np.mean(own_numbers), 2), "by_srgb_db": round(np.mean(by_srgb), 2)}
            rows.append(row)
            print(f"{name:26}{how:12}{row['own_numbers_db']:8}{row['by_srgb_db']:8}", flush=True)
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    (out / "profiles.json").write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
