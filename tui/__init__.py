"""The dashboard, not built yet. Layer: the top; it knows `lite.api.client`, `lite.terminal` and `lite.recordings`."""
