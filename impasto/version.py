"""The version of the client. It is the version of the service too (`service.__version__`)."""

__version__ = "0.1.0"
