"""Another factor of authentication in front of any web application, as WSGI middleware."""

__version__ = "6.0.0.dev0"
