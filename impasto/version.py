"""The version of the client, which is also that of the service (`service.__version__`)."""

__version__ = "0.1.0"
