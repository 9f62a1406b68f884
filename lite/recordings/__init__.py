"""What sessions printed, byte for byte, with time. A leaf, standard library only; `writer` and `reader` live in every
holder, so they stay tiny. `cast` exports.

A recording is a folder of segments: `<first offset>.raw` holds the bytes, `<first offset>.idx` says when and on which
stream they came. Offsets are logical: they count all bytes ever appended and are never reused. Past the cap the oldest
segments but the first are deleted; what lies between the end of one segment and the start of the next is a gap.
"""
