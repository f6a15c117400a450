"""Serves checkpoints over HTTP. One request travels:

    ASGI messages --body--> bytes --admission--> permit
        --decode (codec thread)--> uint8 (H, W, 3) --batcher (event loop)--> batch of one model and one shape
        --worker (one thread per device)--> one picture or error per item
        --encode (codec thread)--> bytes --> response

`pipeline` joins the stages, which know nothing of each other; `app` builds them. Importing this package loads nothing.
"""
