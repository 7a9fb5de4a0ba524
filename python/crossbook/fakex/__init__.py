"""A local exchange for tests: it speaks the venues' own dialects on 127.0.0.1, from a seed, with faults on demand.

`crossbook fakex` serves it; the tests drive the same exchanges without a socket.
"""
