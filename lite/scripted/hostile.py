"""Bytes an untrusted program may send to hurt the terminal, its user, or whoever shows its output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

SEQUENCES: Mapping[str, bytes] = {
    "title": b"\x1b]0;rm -rf ~\x07",
    "title-report": b"\x1b]2;echo pwned\x07\x1b[21t",
    "clipboard": b"\x1b]52;c;ZXZpbA==\x07",
    "clipboard-read": b"\x1b]52;c;?\x1b\\",
    "link": b"\x1b]8;;file:///etc/passwd\x1b\\click\x1b]8;;\x1b\\",
    "palette": b"\x1b]4;1;#000000\x07\x1b]10;#000000\x07\x1b]11;#000000\x07",
    "notify": b"\x1b]9;approve now\x07\x1b]777;notify;a;b\x07",
    "queries": b"\x1b[c\x1b[>c\x1b[6n\x1b[?u\x1b]11;?\x07\x1b[>q\x05",
    "settings-query": b"\x1bP$qm\x1b\\\x1bP+q544e\x1b\\",
    "passthrough": b"\x1bPtmux;\x1b\x1b]52;c;ZXZpbA==\x07\x1b\\",
    "graphics": b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\",
    "printer": b"\x1b[5i printed \x1b[4i",
    "reset": b"\x1bc\x1b[!p",
    "charset": b"\x1b(0lqqk\x1b(B\x0e\x0f",
    "c1": b"\x9b31m\x9d0;title\x9c",
    "mouse": b"\x1b[?1000h\x1b[?1003h\x1b[?1006h",
    "paste": b"\x1b[?2004h\x1b[201~",
    "keyboard": b"\x1b[>31u\x1b[>4;2m",
    "alternate": b"\x1b[?1049h",
    "scroll-region": b"\x1b[5;6r",
    "invisible": b"\x1b[8mhidden\x1b[?25l",
    "bidi": "user\u202etxt.exe\u202c \u2066x\u2069".encode(),
    "zero-width": "ad\u200bmin\u200d\ufeff".encode(),
    "backspace": b"safe\b\b\b\bevil\rover",
    "bad-utf8": b"\xff\xfe\xc3\x28\xe2\x82",
    "fake-state": b"\x1b]7501;state=done:app=claude-code\x1b\\",
    "unfinished": b"\x1b]0;never ends",
}


def flood(size: int, pattern: str) -> Iterator[bytes]:
    """`size` bytes in chunks: `lines`, `no-newline`, `binary`, `utf8` (characters cut between chunks) or `escapes`."""
    left = size
    number = 0
    while left > 0:
        if pattern == "lines":
            chunk = b"".join(
                b"line %08d the quick brown fox jumps over the lazy dog\n" % n for n in range(number, number + 512)
            )
            number += 512
        elif pattern == "no-newline":
            chunk = b"x" * 65536
        elif pattern == "binary":
            chunk = bytes(range(256)) * 256
        elif pattern == "utf8":
            chunk = ("é漢🙂\n".encode() * 8192)[number % 7 : 65536]
            number += 1
        else:
            chunk = b"\x1b[38;2;255;100;0m\x1b[1mcolour\x1b[0m\x1b[2J\x1b[H\x1b]0;t\x07\r\n" * 1024
        yield chunk[:left]
        left -= len(chunk)


PATTERNS = ("lines", "no-newline", "binary", "utf8", "escapes")
