"""The losses, as functions of features and pictures (Johnson et al. 2016, section 3.2).

All are computed in float32, because a Gram matrix sums thousands of products.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

_FAINT_LIGHT = 0.02  # a deviation of brightness below which a picture counts as flat

_REPEATS = 4  # neighbouring cells, per axis, over which `lattice` averages

_FAINT_LAPLACIAN = 1e-3  # a mean Laplacian below which a picture counts as smooth


def feature_reconstruction(features: Tensor, target: Tensor) -> Tensor:
    """Return the squared distance over C H W, averaged over the batch: (N, C, H, W) twice -> scalar."""
    return F.mse_loss(features.float(), target.float())


def gram(features: Tensor) -> Tensor:
    """Compute the Gram matrix F F^T / (C H W): (N, C, H, W) -> float32 (N, C, C)."""
    n, c, h, w = features.shape
    pixels = features.float().permute(0, 2, 3, 1).reshape(n, h * w, c)  # no copy of a channels_last map
    matrices: Tensor = torch.stack([_ProductWithItself.apply(image) for image in pixels])  # faster than bmm on a CPU
    return matrices / (c * h * w)


class _ProductWithItself(torch.autograd.Function):
    """X^T X of a float32 (P, C). Its gradient is X (G + G^T): one product, where autograd makes two."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.T @ x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        product: Tensor = x @ (gradient + gradient.T)
        return product


def style_reconstruction(gram_matrix: Tensor, target: Tensor) -> Tensor:
    """Return the squared Frobenius distance, averaged over the batch: (N, C, C) and (1 or N, C, C) -> scalar."""
    return (gram_matrix - target).square().sum(dim=(1, 2)).mean()


def relative_style_reconstruction(gram_matrix: Tensor, target: Tensor) -> Tensor:
    """Return `style_reconstruction` divided by the squared norm of the target: 1 for a picture without features.

    Gram matrices of two paintings or two layers differ up to a thousandfold in size. With the relative loss, one weight
    serves every style, and the deep layers count. It is not in the paper.
    """
    return style_reconstruction(gram_matrix, target) / target.square().sum(dim=(1, 2)).mean()


def total_variation(pictures: Tensor) -> Tensor:
    """Return squared differences of neighbouring pixels over C H W, averaged over the batch: (N, C, H, W) -> scalar."""
    x = pictures.float()
    vertical = (x[..., 1:, :] - x[..., :-1, :]).square().sum()
    horizontal = (x[..., :, 1:] - x[..., :, :-1]).square().sum()
    return (vertical + horizontal) / x.numel()


def light(pictures: Tensor) -> Tensor:
    """Compute where a picture is light and dark, whatever its palette: (N, 3, H, W) -> float32 (N, 1, H / 8, W / 8).

    The result is the brightness over cells of 8 pixels, minus its mean, divided by its deviation.
    """
    brightness = F.avg_pool2d(pictures.float().mean(dim=1, keepdim=True), 8, ceil_mode=True)
    centred = brightness - brightness.mean(dim=(2, 3), keepdim=True)
    return centred / (centred.square().mean(dim=(2, 3), keepdim=True) + _FAINT_LIGHT**2).sqrt()


def deviation(pictures: Tensor) -> Tensor:
    """Standard deviation of the brightness over cells of 8 pixels: (N, 3, H, W) -> float32 (N,)."""
    brightness = F.avg_pool2d(pictures.float().mean(dim=1), 8, ceil_mode=True)
    return (brightness.var(dim=(1, 2), correction=0) + _FAINT_LIGHT**2).sqrt()


def lost_contrast(pictures: Tensor, kept: Tensor) -> Tensor:
    """Squared share of the contrast that is lost, 0 where none is: (N, 3, H, W) and `deviation` (N,) -> scalar."""
    return (1 - deviation(pictures) / kept).clamp(min=0.0).square().mean()


def out_of_range(pictures: Tensor) -> Tensor:
    """Return the mean squared distance of each value to [0, 1], in place of the paper's tanh."""
    x = pictures.float()
    return (x - x.clamp(0.0, 1.0)).square().mean()


def grid(pictures: Tensor, cells: Sequence[int] = (2, 4)) -> Tensor:
    """How unevenly sharpness is spread over square cells of pixels: (N, 3, H, W) -> scalar, 0 for evenly.

    cells: their sides in pixels; the last is a multiple of the others. For each place of a cell, the mean absolute
    Laplacian of the brightness; of these means, the variance over the squared mean, summed over all sizes of cells. A
    network that works at a reduced resolution leaves such a grid.
    """
    y = pictures.float().mean(dim=1, keepdim=True)
    laplacian = 4 * y[..., 1:-1, 1:-1] - y[..., :-2, 1:-1] - y[..., 2:, 1:-1] - y[..., 1:-1, :-2] - y[..., 1:-1, 2:]
    height, width = (side // cells[-1] * cells[-1] for side in laplacian.shape[-2:])
    sharpness = laplacian[..., :height, :width].abs()
    total = sharpness.new_zeros(())
    for side in cells:
        means = F.pixel_unshuffle(sharpness, side).mean(dim=(2, 3))
        mean = means.mean(dim=1, keepdim=True)
        total = total + ((means - mean) / (mean + _FAINT_LAPLACIAN)).square().mean()
    return total


def fine(pictures: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of detail that is one or two pixels wide: (N, 3, H, W) twice -> scalar.

    Detail is the fourth difference along rows and along columns, divided by its largest gain, 16: it keeps stripes with
    a period of 2 pixels, a quarter of a period of 4 and a fiftieth of a period of 8. LPIPS and an adversary reward
    invented texture, and a network finds a weave of the finest period first. Larger texture is left free.
    """
    difference = pictures.float() - target.float()
    along_rows, along_columns = _fourth_difference(difference), _fourth_difference(difference.transpose(-1, -2))
    return (along_rows.abs().mean() + along_columns.abs().mean()) / 2


def _fourth_difference(x: Tensor) -> Tensor:
    second = x[..., :-2] - 2 * x[..., 1:-1] + x[..., 2:]
    return (second[..., :-2] - 2 * second[..., 1:-1] + second[..., 2:]) / 16


def lattice(pictures: Tensor, target: Tensor, cell: int) -> Tensor:
    """Return how much of the difference repeats from cell to cell: (N, 3, H, W) twice -> scalar, 0 for none of it.

    cell: side of a square cell in pixels, which divides H and W; they have at least four cells. For each place of a
    cell, the difference is averaged over 4 x 4 neighbouring cells; the result is the mean absolute deviation from the
    mean over all places. A weave stays as it is in such an average. Texture, which has no fixed place, loses three
    quarters of its strength.
    """
    difference = pictures.float() - target.float()
    n, _, height, width = difference.shape
    places = F.pixel_unshuffle(difference, cell).reshape(n * 3, cell**2, height // cell, width // cell)
    repeated = F.avg_pool2d(places, _REPEATS, 1)
    return (repeated - repeated.mean(dim=1, keepdim=True)).abs().mean()


def pixel(pictures: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference. It gives a higher PSNR than the paper's squared one (Lim et al. 2017)."""
    return F.l1_loss(pictures.float(), target.float())


def squared_pixel(pictures: Tensor, target: Tensor) -> Tensor:
    """Return the paper's per-pixel loss: squared distance over C H W."""
    return F.mse_loss(pictures.float(), target.float())
