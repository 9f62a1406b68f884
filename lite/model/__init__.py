"""The nouns: frozen dataclasses and closed vocabularies, nothing that acts.

Layer: above `lite.errors` and `providers`, below everything else. Imports only the standard library and
`providers.base`, so that anything may depend on it.
"""
