"""Serves checkpoints over HTTP. One request travels:

    a connection --http.connection_limits--> ASGI messages --http.routes.auth (keys, quotas)--> caller
        --http.body_timeout, http.body--> bytes --pipeline.admission--> permit in requests
        --pipeline.plan--> networks, shares --images.decode.measure (codec thread)--> height, width
        --pipeline.etag--> 304, or a kept answer
        --pipeline.plan.sizes--> sizes on the way --pipeline.admission--> permit in pixels, deadline
        --auth.quotas--> the answer's pixels are charged
        --images.decode (codec thread)--> uint8 or uint16 (H, W, 3)
        --pipeline.rendering (event loop)--> job: a picture, cut into windows
        --engine.scheduler (fair_queue)--> batch of windows
        --engine.worker (one thread per device)--> one answer or error per window
        --pipeline.compositing (its own threads)--> resized, blended
        --images.restore, images.encode (codec thread)--> bytes
        --> response, or (Prefer: respond-async) a ticket until it is fetched

Who has pixels already (`http.open_inference`) goes by `pipeline.pixel_path`. `cli` is the command line: the same stages
without HTTP, or a server through the client; `cli.server` is the service as a process.

`pipeline.pipeline` joins the stages, which know nothing of each other; `app` builds them. `engine` holds what the
devices need, `models` the networks. Importing this package loads nothing.
"""

__version__ = "0.1.0"
