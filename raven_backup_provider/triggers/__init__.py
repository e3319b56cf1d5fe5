"""Asynchronous waiting for operations that run on a RavenDB server."""
