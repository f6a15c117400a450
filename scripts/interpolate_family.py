"""Interpolate two trainings of one family, of which the second continued the first with more weight on the content.

    python scripts/interpolate_family.py FIRST SECOND OUT --share 0.5 --style mosaic=0.15

FIRST, SECOND and OUT are model repositories. A share of 0 is the first training, 1 the second.
"""

import argparse
import copy
from pathlib import Path

import torch

from nets import trunk
from nets.checkpoint import load, make_card, save


def main() -> None:
    """Write OUT/trunks and OUT/stylize."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="Of the second training.")
    parser.add_argument("--style", action="append", default=[], metavar="NAME=SHARE", help="For one style; repeatable.")
    options = parser.parse_args()
    shares = {name: float(share) for name, _, share in (each.partition("=") for each in options.style)}
    (options.out / trunk.FOLDER).mkdir(parents=True, exist_ok=True)
    reference, shared = "", dict[str, torch.Tensor]()
    for path in sorted((options.second / "stylize").glob("*.safetensors")):
        before, after = load(options.first / "stylize" / path.name), load(path)
        card = after.card
        name = card.trunk.partition("@")[0]
        common = trunk.read_trunk(options.second / trunk.FOLDER / f"{name}.safetensors").weights.keys()
        net, begin = copy.deepcopy(after.net), before.net.state_dict()
        own = shares.get(card.name, options.share)
        weights = {
            key: torch.lerp(begin[key].float(), value.float(), options.share if key in common else own)
            for key, value in net.state_dict().items()
        }
        net.load_state_dict(weights)
        if not reference:
            file = options.out / trunk.FOLDER / f"{name}.safetensors"
            file.write_bytes(trunk.dumps_trunk(net, name, {"interpolated": {"share": options.share}}))
            written = trunk.read_trunk(file)
            reference, shared = written.reference, dict(written.weights)
        net.load_state_dict(net.state_dict() | shared)  # rounded as in the file
        training = dict(card.training) | {"interpolated": {"share": own}}
        about = {"license": card.license, "source": card.source, "training": training}
        save(options.out / "stylize" / path.name, net, make_card(net, card.name, trunk=reference, **about))


if __name__ == "__main__":
    main()
