"""A plain FastAPI endpoint around `model(x)`, as in tutorials.

uvicorn plain_app:app --port PORT
"""

import io

from fastapi import FastAPI, Response, UploadFile
from network import load_network, paint
from PIL import Image

app = FastAPI()
model = load_network()


@app.post("/stylize")
def stylize(image: UploadFile) -> Response:
    """Take an image from the form field `image`, and return a JPEG. FastAPI runs it in its thread pool."""
    buffer = io.BytesIO()
    paint(model, Image.open(image.file)).save(buffer, "JPEG")
    return Response(buffer.getvalue(), media_type="image/jpeg")
