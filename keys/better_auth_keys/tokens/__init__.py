"""Tokens: parse, verify and sign them."""
