"""Benchmarks: our parts beside the libraries that can be used instead."""
