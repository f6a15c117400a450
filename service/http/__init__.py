"""ASGI and HTTP. What a request means is decided in `service.pipeline`."""
