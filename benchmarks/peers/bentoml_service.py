"""BentoML, as in its documentation: a service class with an API whose types are images.

bentoml serve bentoml_service:Stylizer --host 127.0.0.1 --port PORT
"""

from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from network import load_network, paint
from PIL.Image import Image


@bentoml.service
class Stylizer:
    """Takes an image from the form field `image`, and returns a JPEG."""

    def __init__(self) -> None:
        self.model = load_network()

    @bentoml.api
    def stylize(self, image: Image) -> Annotated[Image, ContentType("image/jpeg")]:
        """Run the model."""
        painted = paint(self.model, image)
        painted.format = "JPEG"  # BentoML encodes by it, and without it as a PNG, which takes many times as long
        return painted
