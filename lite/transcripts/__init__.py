"""What structured sessions said, in neutral words: one file of JSON lines beside each recording. A leaf.

`writer` keeps it (in the supervisor), `reader` serves it by byte offsets that stay true, `lines` takes it apart again,
and `rendering` makes lines for people of it, which `painting` colours. Whoever shows a transcript uses the last three.
"""
