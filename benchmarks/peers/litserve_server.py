"""LitServe, as in its documentation: a LitAPI with setup, decode_request, predict and encode_response.

python litserve_server.py PORT
"""

import io
import sys

import litserve as ls
from fastapi import Request, Response
from network import load_network, paint
from PIL import Image
from torch import nn


class Stylizer(ls.LitAPI):
    """Takes an image from the form field `image`, and returns a JPEG."""

    model: nn.Module

    def setup(self, device: str) -> None:
        """Load the model, once for each worker."""
        self.model = load_network().to(device)

    def decode_request(self, request: Request) -> Image.Image:
        """Decode the uploaded file."""
        return Image.open(request["image"].file)

    def predict(self, x: Image.Image) -> Image.Image:
        """Run the model."""
        return paint(self.model, x)

    def encode_response(self, output: Image.Image) -> Response:
        """Encode the picture."""
        buffer = io.BytesIO()
        output.save(buffer, "JPEG")
        return Response(buffer.getvalue(), media_type="image/jpeg")


if __name__ == "__main__":
    server = ls.LitServer(Stylizer(), accelerator="auto")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
