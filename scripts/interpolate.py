"""Interpolate two trainings, of which the second continued the first: of an upscaler, or of a family of styles.

    python scripts/interpolate.py FIRST SECOND OUT --share 0.5 [--style mosaic=0.15]

FIRST, SECOND and OUT are checkpoints of an upscaler, or model repositories with one trunk. A share of 0 is the first
training, 1 the second. A network that was trained for texture, interpolated with the same one after more iterations of
the pixel loss, keeps sharp edges and loses a weave (Wang et al. 2018, ESRGAN, section 3.4).
"""

import argparse
import copy
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from nets import trunk
from nets.checkpoint import load, make_card, save


def main() -> None:
    """Write OUT, or OUT/trunks and OUT/stylize."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="Of the second training.")
    parser.add_argument("--style", action="append", default=[], metavar="NAME=SHARE", help="For one style; repeatable.")
    options = parser.parse_args()
    if options.second.is_dir():
        shares = {name: float(share) for name, _, share in (each.partition("=") for each in options.style)}
        interpolate_family(options.first, options.second, options.out, options.share, shares)
    else:
        interpolate_upscaler(options.first, options.second, options.out, options.share)


def interpolate_upscaler(first: Path, second: Path, out: Path, share: float) -> None:
    """Write a checkpoint with the card of the second one and the share."""
    before, after = load(first), load(second)
    net, card = copy.deepcopy(after.net), after.card
    net.load_state_dict(between(before.net.state_dict(), net.state_dict(), share))
    training = dict(card.training) | {"interpolated": {"with": before.version, "share": share}}
    about = {"license": card.license, "source": card.source, "parent": before.card.parent, "training": training}
    save(out, net, make_card(net, card.name, **about))


def interpolate_family(first: Path, second: Path, out: Path, share: float, shares: Mapping[str, float]) -> None:
    """Write a trunk and its styles. shares: of the second training, by style; all others have `share`."""
    (out / trunk.FOLDER).mkdir(parents=True, exist_ok=True)
    reference, shared = "", dict[str, Tensor]()
    for path in sorted((second / "stylize").glob("*.safetensors")):
        before, after = load(first / "stylize" / path.name), load(path)
        net, card = copy.deepcopy(after.net), after.card  # styles of a trunk share its tensors
        name = card.trunk.partition("@")[0]
        common = trunk.read_trunk(second / trunk.FOLDER / f"{name}.safetensors").weights.keys()
        own = shares.get(card.name, share)
        net.load_state_dict(between(before.net.state_dict(), net.state_dict(), own, common, share))
        if not reference:
            file = out / trunk.FOLDER / f"{name}.safetensors"
            file.write_bytes(trunk.dumps_trunk(net, name, {"interpolated": {"share": share}}))
            written = trunk.read_trunk(file)
            reference, shared = written.reference, dict(written.weights)
        net.load_state_dict(net.state_dict() | shared)  # rounded as in the file
        training = dict(card.training) | {"interpolated": {"share": own}}
        about = {"license": card.license, "source": card.source, "training": training}
        save(out / "stylize" / path.name, net, make_card(net, card.name, trunk=reference, **about))


def between(
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    share: float,
    common: Collection[str] = (),
    common_share: float = 0.0,
) -> dict[str, Tensor]:
    """Interpolate weights, those named in `common` with their own share."""
    return {
        key: torch.lerp(first[key].float(), value.float(), common_share if key in common else share)
        for key, value in second.items()
    }


if __name__ == "__main__":
    main()
