"""KServe's own Python client, in an environment of its own: `python by_kserve.py ADDRESS IMAGE PIXELS`.

IMAGE: an encoded image. PIXELS: uint8 (H, W, 3) as .npy. Prints what came back as JSON; images and pixels as base64.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

MODEL = "upscale.x2"


def tensor(name, kind, array, binary):
    made = InferInput(name, list(array.shape), kind)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def plain(array):
    return base64.b64encode(array.tobytes()).decode()


async def main(address, image, pixels):
    client, found = InferenceRESTClient(RESTConfig(protocol="v2", retries=0)), {}
    found["live"], found["ready"] = await client.is_server_live(address), await client.is_server_ready(address)
    found["model"] = await client.is_model_ready(address, MODEL)

    async def infer(data, name):
        answer = await client.infer(address, data, model_name=MODEL)
        [output] = [each for each in answer.outputs if each.name == name]
        return output

    encoded = np.array([image], dtype=object)
    output = await infer(InferRequest(MODEL, [tensor("image", "BYTES", encoded, binary=True)]), "image")
    found["image"] = output.data[0]
    nested = InferInput("image", [1, 1], "BYTES", data=[[base64.b64encode(image).decode()]])
    found["nested"] = (await infer(InferRequest(MODEL, [nested]), "image")).data[0]
    for kind, array in (("UINT8", pixels), ("FP32", pixels.astype(np.float32))):
        for binary in (True, False):
            asked = InferRequest(MODEL, [tensor("pixels", kind, array, binary)], parameters={"detail": 0})
            output = await infer(asked, "pixels")
            found[f"{kind} {binary}"] = [output.datatype, output.shape, plain(output.as_numpy())]
    given = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(image).decode()]}
    nulls = {"id": None, "parameters": None, "outputs": None, "inputs": [{**given, "parameters": None}]}
    found["nulls"] = (await infer(nulls, "image")).data[0]
    try:
        await client.infer(address, InferRequest("upscale.x9", [nested]), model_name="upscale.x9")
    except httpx.HTTPStatusError as error:
        found["error"] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes(), np.load(sys.argv[3])))
