"""The precisions of a network's convolutions."""

from typing import Literal

import torch

Precision = Literal["fp32", "bf16", "fp16"]
"""The type of the weights and maps inside convolutions. Sums over a picture and the output are always float32."""

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
