"""The HTTP routes: `transform` for pictures, `operations` for those who run the service, `door` for who may come in."""
