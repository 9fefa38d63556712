"""Releases: distributions, images, bills of materials, licences and known vulnerabilities."""
