"""What the holder reads out of a program's output: queries, states, titles, marks; however the bytes are cut."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite.executors.local.activity import Said
from lite.executors.local.scanner import MAX_STRING
from lite.executors.local.screen import Screen


class Responder(Screen):
    """A screen of 120x40 that counts offsets and remembers what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0
        self.said: list[Said] = []

    def reply(self, data: bytes) -> bytes:
        replies, news = self.feed(data, self.offset, 120, 40)
        self.offset += len(data)
        self.said += news
        return replies


QUERIES = {
    b"\x1b[c": b"\x1b[?62;22c",
    b"\x1b[0c": b"\x1b[?62;22c",
    b"\x1b[>c": b"\x1b[>1;10;0c",
    b"\x1b[=c": b"\x1bP!|00000000\x1b\\",
    b"\x1b[5n": b"\x1b[0n",
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b[?6n": b"\x1b[?1;1R",
    b"\x1b[>q": b"\x1bP>|quarterdeck\x1b\\",
    b"\x1b[>0q": b"\x1bP>|quarterdeck\x1b\\",
    b"\x1b[?u": b"\x1b[?0u",
    b"\x1b[?2026$p": b"\x1b[?2026;2$y",
    b"\x1b[?7$p": b"\x1b[?7;1$y",
    b"\x1b[?2031$p": b"\x1b[?2031;0$y",
    b"\x1b[4$p": b"\x1b[4;0$y",
    b"\x1b[14t": b"\x1b[4;640;960t",
    b"\x1b[16t": b"\x1b[6;16;8t",
    b"\x1b[18t": b"\x1b[8;40;120t",
    b"\x1b]10;?\x07": b"\x1b]10;rgb:d0d0/d0d0/d0d0\x07",
    b"\x1b]11;?\x1b\\": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
    b"\x1b]4;1;?\x07": b"\x1b]4;1;rgb:cdcd/0000/0000\x07",
    b"\x1b]4;16;?\x07": b"\x1b]4;16;rgb:0000/0000/0000\x07",
    b"\x1b]4;231;?\x07": b"\x1b]4;231;rgb:ffff/ffff/ffff\x07",
    b"\x1b]4;232;?\x07": b"\x1b]4;232;rgb:0808/0808/0808\x07",
    b"\x1b]7501;?\x07": b"\x1b]7501;?\x1b\\",
    b"\x1bP+q544e\x1b\\": b"\x1bP0+r\x1b\\",
    b"\x1bP$qm\x1b\\": b"\x1bP0$r\x1b\\",
}
STATEMENTS = [
    *(b"\x1b[?62;22c", b"\x1b[1;1R", b"\x1b[2J", b"\x1b[31m", b"\x1b[?2026h", b"\x1b]0;title\x07", b"\x1b]11;#fff\x07"),
    *(b"\x1b[3;4H", b"\x1b]52;c;?\x07", b"\x1b[21t", b"\x1b]4;300;?\x07", b"\x1b[1;2c", b"plain 6n c"),
]


@pytest.mark.parametrize("query", QUERIES, ids=repr)
def test_each_query_has_one_answer(query: bytes) -> None:
    assert Responder().reply(b"text" + query + b"more") == QUERIES[query]


@pytest.mark.parametrize("statement", STATEMENTS, ids=repr)
def test_what_is_no_query_gets_no_answer(statement: bytes) -> None:
    assert Responder().reply(statement) == b""


@given(st.lists(st.sampled_from([*QUERIES, *STATEMENTS]), min_size=1, max_size=8), st.data())
def test_answers_come_once_in_order_however_the_bytes_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    whole = Responder()
    expected = whole.reply(stream)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=10)))
    cut = Responder()
    got = b""
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += cut.reply(stream[begin:end])
    assert got == expected
    assert cut.said == whole.said
    assert (cut.mark, cut.preamble) == (whole.mark, whole.preamble)
    assert expected == b"".join(QUERIES.get(part, b"") for part in parts) or b"\x1b[?2026h" in stream


def test_the_program_status_answer_comes_before_the_attributes() -> None:
    assert Responder().reply(b"\x1b]7501;?\x07\x1b[c") == b"\x1b]7501;?\x1b\\\x1b[?62;22c"


def test_nothing_the_program_sent_is_sent_back() -> None:
    secret = b"rm -rf /\r"
    stream = b"".join(
        [
            *(b"\x1b]4;" + secret + b";?\x07", b"\x1bP+q" + secret + b"\x1b\\", b"\x1b]10;" + secret + b"?\x07"),
            *(
                b"\x1b]7501;?" + secret + b"\x07",
                b"\x1b]2;" + secret + b"\x07\x1b[21t",
                b"\x1bP$q" + secret + b"\x1b\\",
            ),
        ]
    )
    assert secret.strip() not in Responder().reply(stream)


@pytest.mark.parametrize(
    "junk",
    [b"\x1b]0;" + b"x" * (1 << 20), b"\x1bP+q" + b"41" * (1 << 19), b"\x1b" * (1 << 20), b"\x1b[" + b"1;" * (1 << 19)],
)
def test_endless_sequences_neither_grow_nor_slow_it(junk: bytes) -> None:
    responder = Responder()
    begun = time.monotonic()
    for at in range(0, len(junk), 4096):
        responder.reply(junk[at : at + 4096])
        assert responder.carried <= MAX_STRING + 16
    assert time.monotonic() - begun < 20
    assert responder.reply(b"\x07\x1b\\\x1b[5n") == b"\x1b[0n"


def test_program_status_is_heard() -> None:
    responder = Responder()
    question = base64.b64encode("sure\x1b[31m?\u202e".encode())
    responder.reply(
        b"\x1b]7501;state=idle:app=x\x07\x1b]7501;state=working\x07\x1b]7501;state=blocked:kind=permission:msg=%b\x1b\\"
        b"\x1b]7501;state=blocked:kind=auth\x07\x1b]7501;state=error:msg=!!!\x07\x1b]7501;state=dancing\x07"
        b"\x1b]7501;state=done\x07\x1b]7501;state=clear\x07" % question
    )
    assert responder.said == [
        ("idle", "osc7501", ""),
        ("working", "osc7501", ""),
        ("waiting", "osc7501", "sure [31m?"),
        ("waiting", "osc7501", "auth"),
        ("idle", "osc7501", ""),
        ("unknown", "osc7501", ""),
    ]


@pytest.mark.parametrize(
    ("title", "activity"),
    [
        ("◐ thinking", "working"),
        ("✳ Claude Code", "unknown"),
        ("⠙ my-project", "working"),
        ("[ ! ] Action Required | dir", "waiting"),
        ("◇  Ready (dir)", "idle"),
        ("✦  Working… (dir)", "working"),
        ("✋  Action Required (dir)", "waiting"),
    ],
)
def test_known_titles_are_heard_until_the_program_itself_speaks(title: str, activity: str) -> None:
    responder = Responder()
    responder.reply(b"\x1b]2;%b\x07" % title.encode())
    assert [said.activity for said in responder.said] == [activity]
    assert responder.said[0].rule == "title"
    responder.reply(b"\x1b]7501;state=idle\x07\x1b]0;%b\x07" % title.encode())
    assert len(responder.said) == 2


def test_other_titles_say_nothing() -> None:
    responder = Responder()
    responder.reply(b"\x1b]0;vim README.md\x07\x1b]1;\xe2\x97\x87 Ready\x07\x1b]2;\xff\xfe\x07")
    assert responder.said == []


def test_a_full_clear_is_where_a_new_terminal_may_begin() -> None:
    responder = Responder()
    responder.reply(b"text\x1b[?2004h\x1b[?25l\x1b[>1u")
    assert responder.mark == 0
    responder.reply(b"\x1b[H\x1b[2Jafter")
    assert responder.mark == len(b"text\x1b[?2004h\x1b[?25l\x1b[>1u\x1b[H")
    assert responder.preamble == b"\x1b[?25l\x1b[?2004h\x1b[>1u"


def test_the_alternate_screen_begins_a_mark_and_gives_the_old_one_back() -> None:
    responder = Responder()
    responder.reply(b"shell$ \x1b[?1049h")
    assert responder.mark == 7
    responder.reply(b"\x1b[2Jfull screen")
    assert responder.preamble == b"\x1b[?1049h"
    responder.reply(b"\x1b[?1049l")
    assert (responder.mark, responder.preamble) == (0, b"")


def test_a_program_cannot_grow_the_set_of_modes() -> None:
    responder = Responder()
    responder.reply(b"".join(b"\x1b[?%dh" % mode for mode in range(2000)))
    assert len(responder._marks.modes) <= 70
