"""The dashboard: a pure client of the control API, on Textual.

    entry -> app -> screens -> widgets -> feed, gateway -> filters, badges -> state

`state` is what is known of the fleet, immutable, folded from the feed; no Textual in it, nor in `filters`, `feed` and
`gateway`. Widgets are given a `Fleet` and say what the user wants by messages; screens act through the `Gateway`.
Text of agents, names and titles is hostile: it passes `lite.terminal.sanitize` and is never read as markup.
"""
