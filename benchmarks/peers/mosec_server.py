"""mosec, as in its documentation for computer vision: three stages, each in its own process; bytes in and out.

python mosec_server.py --port PORT --timeout 30000
"""

import io

from mosec import Server, Worker
from network import load_network, paint
from PIL import Image


class Preprocess(Worker):
    """Decodes the body."""

    def deserialize(self, data: bytes) -> bytes:
        """Return the body unchanged."""
        return bytes(data)

    def forward(self, data: bytes) -> Image.Image:
        """Decode here, not in the next stage."""
        picture = Image.open(io.BytesIO(data))
        picture.load()
        return picture.convert("RGB")


class Inference(Worker):
    """Runs the model."""

    def __init__(self) -> None:
        super().__init__()
        self.model = load_network()

    def forward(self, data: Image.Image) -> Image.Image:
        """Process one image at a time, because they differ in size."""
        return paint(self.model, data)


class Postprocess(Worker):
    """Encodes the picture."""

    def forward(self, data: Image.Image) -> bytes:
        """Encode a JPEG."""
        buffer = io.BytesIO()
        data.save(buffer, "JPEG")
        return buffer.getvalue()

    def serialize(self, data: bytes) -> bytes:
        """Return the body unchanged."""
        return data


if __name__ == "__main__":
    server = Server()
    for stage in (Preprocess, Inference, Postprocess):
        server.append_worker(stage)
    server.run()
