import lpips
import pytest
import torch
import torch.nn.functional as F
from torchvision.models.vgg import cfgs, make_layers

from tests.conftest import picture
from tests.trainer.conftest import random_vgg16
from trainer.objective.perceptual_distance import PerceptualDistance

AFTER = (3, 8, 15, 22, 29)  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3


def independent_lpips(vgg16, a, b):
    """Zhang et al. 2018, equation 1: unit-normalised features, squared differences, weighted by channel, averaged."""
    layers = make_layers(cfgs["D"], batch_norm=False)
    layers.load_state_dict({name.removeprefix("features."): value for name, value in vgg16.items()})
    weights = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).state_dict()
    mean, std = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    x = (torch.stack([torch.from_numpy(p).permute(2, 0, 1).float() / 255 for p in (a, b)]) - mean) / std
    total = 0.0
    for index, layer in enumerate(layers):
        x = layer(x)
        if index in AFTER:
            unit = F.normalize(x, dim=1)
            total += F.conv2d((unit[:1] - unit[1:]) ** 2, weights[f"lin{AFTER.index(index)}.model.1.weight"]).mean()
    return total.item()


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning", "ignore:Arguments other than:UserWarning")
def test_lpips_is_the_published_formula():
    vgg16 = random_vgg16()
    a, b = picture(64, 48), picture(64, 48, seed=1)[::-1].copy()
    with torch.no_grad():
        expected = independent_lpips(vgg16, a, b)
    assert expected > 0.01
    assert PerceptualDistance(vgg16).lpips(a, b) == pytest.approx(expected, rel=1e-3)


def test_equal_pictures_are_at_no_distance():
    distance = PerceptualDistance(random_vgg16())
    assert distance.lpips(picture(), picture()) == 0.0
    assert distance.features(picture(), picture()) == 0.0
    assert distance.features(picture(), 255 - picture()) > 0.0
