"""mosec, as its documentation has it for computer vision: three stages, each in a process of its own; bytes in and out.

python mosec_server.py --port PORT --timeout 30000
"""

import io

from mosec import Server, Worker
from network import load_network, paint
from PIL import Image


class Preprocess(Worker):
    """Decodes the body."""

    def deserialize(self, data: bytes) -> bytes:
        """The body as it came."""
        return bytes(data)

    def forward(self, data: bytes) -> Image.Image:
        """Decode, here and not in the next stage."""
        picture = Image.open(io.BytesIO(data))
        picture.load()
        return picture.convert("RGB")


class Inference(Worker):
    """Runs the model."""

    def __init__(self) -> None:
        super().__init__()
        self.model = load_network()

    def forward(self, data: Image.Image) -> Image.Image:
        """One picture at a time: they differ in size."""
        return paint(self.model, data)


class Postprocess(Worker):
    """Encodes the picture."""

    def forward(self, data: Image.Image) -> bytes:
        """A JPEG."""
        buffer = io.BytesIO()
        data.save(buffer, "JPEG")
        return buffer.getvalue()

    def serialize(self, data: bytes) -> bytes:
        """The answer's body as it is."""
        return data


if __name__ == "__main__":
    server = Server()
    for stage in (Preprocess, Inference, Postprocess):
        server.append_worker(stage)
    server.run()
