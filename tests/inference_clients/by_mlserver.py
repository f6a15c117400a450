"""MLServer's own codecs and types, in an environment of their own: `python by_mlserver.py ADDRESS IMAGE PIXELS`.

They make the requests that MLServer documents for its clients, content types included, and read the responses.
"""

import base64
import json
import sys
import urllib.request
from pathlib import Path

import numpy as np
from mlserver.codecs import Base64Codec, NumpyCodec, NumpyRequestCodec
from mlserver.types import InferenceRequest, InferenceResponse, Parameters

MODEL = "upscale.x2"


def infer(address, request):
    body = request.model_dump_json().encode()  # with every null
    asked = urllib.request.Request(f"{address}/v2/models/{MODEL}/infer", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked) as response:
        return InferenceResponse.model_validate_json(response.read())


def main(address, image, pixels):
    found = {}
    encoded = InferenceRequest(
        inputs=[Base64Codec.encode_input("image", [image])], parameters=Parameters(content_type="base64")
    )
    [output] = infer(address, encoded).outputs
    found["image"] = base64.b64encode(Base64Codec.decode_output(output)[0]).decode()
    for kind in (np.uint8, np.float32):
        made = InferenceRequest(inputs=[NumpyCodec.encode_input("pixels", pixels.astype(kind))])
        made.parameters = Parameters(content_type=NumpyRequestCodec.ContentType)
        [output] = infer(address, made).outputs
        array = NumpyCodec.decode_output(output)
        found[output.datatype] = [list(array.shape), str(array.dtype), base64.b64encode(array.tobytes()).decode()]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).read_bytes(), np.load(sys.argv[3]))
