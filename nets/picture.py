"""The array type of a picture, for code that must not import torch."""

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.unsignedinteger]
"""uint8 or uint16 (H, W, 3), RGB, sRGB transfer curve. The whole range is used: white is 255, or 65535."""

PixelType = np.dtype[np.unsignedinteger]
