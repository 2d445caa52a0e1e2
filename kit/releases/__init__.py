"""Releases that boards fetch: a folder with images and manifests, and a small server for it."""
