"""The pages on which people answer: rendered by the server, usable without scripts."""

from whybox_server.studies.pages.app import create_pages

__all__ = ["create_pages"]
