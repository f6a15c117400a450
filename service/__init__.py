"""Serves checkpoints over HTTP. This is the path of one request:

    a connection --http.connection_limits--> ASGI messages --http.routes.auth (keys, quotas)--> caller
        --pipeline.check--> rejected before the body is read, or
        --http.body_timeout, http.body--> bytes --pipeline.admission--> permit for a request
        --pipeline.plan--> networks, shares --images.decode.measure (codec thread)--> height, width
        --pipeline.etag--> 304, or a cached result
        --pipeline.plan.sizes--> sizes of all steps --pipeline.admission--> permit for pixels, deadline
        --auth.quotas--> the output pixels are charged
        --images.decode (codec thread)--> uint8 or uint16 (H, W, 3)
        --pipeline.rendering (event loop)--> task: a picture in windows
        --engine.scheduler (fair_queue, preemption)--> batch of windows
        --engine.worker (one thread per device)--> one output or error per window
        --pipeline.compositing (its own threads)--> resized, blended
        --images.restore, images.encode (codec thread)--> bytes
        --> response, or (Prefer: respond-async) a job that keeps the result until it is fetched

`http.open_inference` also accepts pixels: `pipeline.Pipeline.transform_pixels` leaves out the codecs. `cli` is the
command line: the same stages without HTTP, or a server through the client; `cli.server` is the service as a process.

`pipeline.pipeline` joins the stages, which do not know each other; `app` builds them. `engine` holds what the devices
need, `models` the networks. Importing this package loads nothing.
"""

__version__ = "0.1.0"
