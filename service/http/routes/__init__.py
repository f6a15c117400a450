"""The HTTP routes: `transform` for pictures, `operations` for those who run the service, `auth` for who may come in."""
