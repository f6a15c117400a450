"""Interpolate two trainings of one upscaler: the second continued the first with the pixel loss alone.

    python scripts/interpolate_upscaler.py FIRST SECOND OUT --share 0.5

FIRST, SECOND and OUT are checkpoints. A share of 0 is the first, 1 the second. Half of a network that was trained for
texture keeps sharp edges and loses the weave (Wang et al. 2018, ESRGAN, section 3.4).
"""

import argparse
from pathlib import Path

import torch

from nets.checkpoint import load, make_card, save


def main() -> None:
    """Write OUT, with the card of the second and the share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="Of the second training.")
    options = parser.parse_args()
    before, after = load(options.first), load(options.second)
    begin, net, card = before.net.state_dict(), after.net, after.card
    weights = {key: torch.lerp(begin[key], value, options.share) for key, value in net.state_dict().items()}
    net.load_state_dict(weights)
    training = dict(card.training) | {"interpolated": {"with": before.version, "share": options.share}}
    about = {"license": card.license, "source": card.source, "parent": before.card.parent, "training": training}
    save(options.out, net, make_card(net, card.name, **about))


if __name__ == "__main__":
    main()
