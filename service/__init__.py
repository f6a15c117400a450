"""Serves checkpoints over HTTP. One request travels:

    a connection --wire--> ASGI messages --routes.door (keys, quotas)--> caller
        --pace, body--> bytes --admission--> permit in requests
        --recipe--> networks, shares --decode.measure (codec thread)--> height, width --etag--> 304, or a kept answer
        --recipe.sizes--> sizes on the way --admission--> permit in pixels, deadline
        --quotas--> the answer's pixels are charged
        --decode (codec thread)--> uint8 or uint16 (H, W, 3)
        --rendering (event loop)--> job: a picture, cut into windows --scheduler (shares)--> batch of windows
        --worker (one thread per device)--> one answer or error per window
        --compose (its own threads)--> resized, blended
        --restore, encode (codec thread)--> bytes --> response, or (Prefer: respond-async) a ticket until it is fetched

Who has pixels already (`routes.inference`) goes by `pixel_path`. `commands` is the command line: the same stages
without HTTP, or a server through the client.

`pipeline` joins the stages, which know nothing of each other; `app` builds them. `engine` holds what the devices need,
`registry` the networks. Importing this package loads nothing.
"""
