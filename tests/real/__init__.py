"""Tests on the real captures."""
