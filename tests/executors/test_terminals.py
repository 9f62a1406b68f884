"""Live terminals: attach, type, resize, resume, replay, floods; and what a program may do to none of them."""

from __future__ import annotations

import asyncio
import re
import resource
from pathlib import Path

import pytest

from lite.executors.local.handle import parse_handle
from lite.executors.local.streams import SocketStream
from lite.model.session import Activity
from lite.model.task import OutcomeKind
from lite.terminal import packets
from tests.executors.sessions import (
    Desk,
    acked,
    activity,
    ended,
    finish,
    holder_of,
    read_all,
    read_kind,
    read_until,
    recorded,
    recording,
    until,
)


async def test_typing_reaches_the_program_and_comes_back(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "echo ready; read x; echo got:$x; read y; exit 5")
    stream = await executor.attach(handle, control=True)
    await read_until(stream, b"ready")
    assert await acked(stream, b"hello\n") == (True, "")
    await read_until(stream, b"got:hello")
    assert await acked(stream, b"\n") == (True, "")
    _, _, exit_json = await read_all(stream)
    assert b'"exit_code": 5' in exit_json
    assert (await ended(executor, handle)).exit_code == 5
    await stream.aclose()
    assert recorded(handle, packets.IN) == b"hello\n\n"


async def test_what_is_typed_unseen_is_recorded_masked(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "stty -echo; echo ready; read x; stty echo; echo ok; read y")
    stream = await executor.attach(handle, control=True)
    await read_until(stream, b"ready")
    await acked(stream, b"secret\n")
    await read_until(stream, b"ok")
    await acked(stream, b"seen\n")
    await ended(executor, handle)
    assert recorded(handle, packets.IN) == b"*******seen\n"
    await stream.aclose()


async def test_watchers_look_and_nothing_else(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "echo ready; read x; stty size")
    watcher = await executor.attach(handle, control=False)
    assert await acked(watcher, b"no\n") == (False, "watchers cannot type")
    for kind, payload in ((packets.STOP, bytes(4)), (packets.SIGNAL, b"\x09")):
        await watcher.write((kind, payload))
        assert not packets.parse_ack(await read_kind(watcher, packets.ACK))[0]
    await watcher.write((packets.RESIZE, packets.resize(10, 10)[5:]))
    await watcher.write((packets.GO, b""))
    driver = await executor.attach(handle, control=True)
    assert (await acked(driver, b"yes\n"))[0]
    await read_until(watcher, b"40 120")
    await driver.aclose()
    await watcher.aclose()
    await ended(executor, handle)


async def test_input_after_the_end_is_refused(desk: Desk) -> None:
    executor, handle = await desk.run("true")
    await ended(executor, handle)
    stream = await executor.attach(handle, control=True)
    assert await acked(stream, b"x") == (False, "the program has ended")


async def test_input_nobody_reads_is_refused_in_the_end(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "stty raw -echo; echo ready; exec sleep 600")
    stream = await executor.attach(handle, control=True)
    await read_until(stream, b"ready")
    results = [await acked(stream, b"x" * 100_000) for _ in range(14)]
    assert results[0][0]
    assert results[-1] == (False, "the program does not read its input")
    await stream.aclose()
    await finish(executor, handle)


async def test_the_last_controller_owns_the_size(desk: Desk) -> None:
    show = "import signal,os,time; p=lambda *_: os.write(1, b'size %d %d\\n' % os.get_terminal_size())\n"
    show += "signal.signal(signal.SIGWINCH,p); p()\nwhile 1: time.sleep(60)"
    executor, handle = await desk.run("python3", "-c", show)
    watcher = await executor.attach(handle, control=False)
    await read_until(watcher, b"size 120 40")
    first = await _controller(handle, 100, 30)
    await read_until(watcher, b"size 100 30")
    second = await _controller(handle, 90, 20)
    await read_until(watcher, b"size 90 20")
    await first.write((packets.RESIZE, packets.resize(111, 33)[5:]))  # not the owner: remembered
    await second.write((packets.RESIZE, packets.resize(80, 25)[5:]))
    assert b"111" not in await read_until(watcher, b"size 80 25")
    await second.aclose()
    await read_until(watcher, b"size 111 33")
    seen = await executor.inspect(handle)
    assert (seen.cols, seen.rows) == (111, 33)
    await first.aclose()
    await watcher.aclose()
    await finish(executor, handle)


async def _controller(handle: str, cols: int, rows: int) -> SocketStream:
    stream = SocketStream(*await asyncio.open_unix_connection(parse_handle(handle).socket))
    stream._writer.write(packets.hello(packets.CONTROL, 0, packets.END, cols, rows))
    return stream


async def test_disconnecting_and_resuming_gives_every_byte_once(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done")
    got, at = b"", 0
    while True:
        stream = await executor.attach(handle, control=False, offset=at)
        over = False
        for _ in range(7):
            packet = await stream.read()
            if packet is None or packet[0] == packets.EXIT:
                over = True
                break
            if packet[0] == packets.OUTPUT:
                offset, _, data = packets.parse_output(packet[1])
                assert offset == at
                at += len(data)
                got += data
        await stream.aclose()
        if over:
            break
    assert got == b"".join(b"line %d\r\n" % number for number in range(1, 3001)) == recorded(handle)
    await ended(executor, handle)


async def test_many_readers_of_a_flood_all_get_the_same(desk: Desk) -> None:
    script = "import os\nfor i in range(400): os.write(1, b'%05d' % i + bytes(range(32, 127)) * 40)"
    executor, handle = await desk.run("python3", "-c", f"import tty; tty.setraw(1)\n{script}")
    streams = [await executor.attach(handle, control=False, offset=0) for _ in range(4)]
    results = await asyncio.gather(*(read_all(stream) for stream in streams))
    expected = b"".join(b"%05d" % i + bytes(range(32, 127)) * 40 for i in range(400))
    assert [got for got, _, _ in results] == [expected] * 4
    for stream in streams:
        await stream.aclose()
    await ended(executor, handle)


async def test_a_client_that_never_reads_slows_nobody(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "head -c 30000000 /dev/zero | tr '\\0' x", cap_bytes=4 << 20)
    sleeper = await executor.attach(handle, control=False, offset=0)
    assert (await ended(executor, handle)).kind is OutcomeKind.SUCCEEDED
    assert recording(handle).end() == 30_000_000
    await sleeper.aclose()


async def test_a_reader_too_slow_for_the_cap_sees_a_gap(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x; read x", cap_bytes=1 << 20)
    await until(lambda: recording(handle).end() >= 5_000_000)
    stream = await executor.attach(handle, control=True, offset=0)
    await stream.write((packets.INPUT, b"\n"))
    got, gaps, _ = await read_all(stream)
    assert len(gaps) == 1
    begin, end = gaps[0]
    assert len(got) + end - begin >= 5_000_000
    await stream.aclose()
    await ended(executor, handle)


def private_kilobytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"Private_Dirty:\s+(\d+) kB", text)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    ("flood", "size"),
    [
        ("yes", 20_000_000),
        ("cat /dev/zero", 200_000_000),
        ("yes '\x1b[1;31mred\x1b[0m \x1b]0;title\x07 \x1b[2J'", 20_000_000),
        ("cat /dev/urandom", 50_000_000),
    ],
    ids=["yes", "no newline", "escapes", "binary"],
)
async def test_a_flood_does_not_grow_the_holder(desk: Desk, flood: str, size: int) -> None:
    executor, handle = await desk.run("sh", "-c", f"{flood} | head -c {size}; read x", cap_bytes=8 << 20)
    pid = holder_of(handle)
    await until(lambda: recording(handle).end() > 8_000_000)
    before = private_kilobytes(pid)
    await until(lambda: recording(handle).end() >= size)
    assert private_kilobytes(pid) < before + 1500
    assert recording(handle).size() <= (8 << 20) + (1 << 16)
    await finish(executor, handle)


async def test_bytes_of_any_kind_arrive_as_they_are(desk: Desk) -> None:
    expected = bytes(range(256)) * 4 + "é✓👩‍👩‍👧".encode() * 50 + b"\x1b]0;" + b"\xff" * 300 + b"\x07"
    (desk.root / "bytes").write_bytes(expected)
    script = (
        "import os,tty; tty.setraw(1); data=open('bytes','rb').read()\n"
        "for i in range(0,len(data),7): os.write(1,data[i:i+7])\n"
    )
    executor, handle = await desk.run("python3", "-c", script)
    await ended(executor, handle)
    assert recorded(handle) == expected
    stream = await executor.attach(handle, control=False, offset=0)
    assert (await read_all(stream))[0] == expected


async def test_queries_are_answered_by_the_holder_watched_or_not(desk: Desk) -> None:
    script = (
        "import os,sys,tty; tty.setraw(0); os.write(1,b'\\x1b]7501;?\\x07\\x1b'); import time; time.sleep(0.05)\n"
        "os.write(1,b'[c\\x1b[6n'); got=b''\nwhile b'R' not in got: got+=os.read(0,100)\n"
        "os.write(1,b'answers:'+repr(got).encode())"
    )
    for watched in (False, True):
        executor, handle = await desk.run("python3", "-c", script)
        stream = await executor.attach(handle, control=True) if watched else None
        await ended(executor, handle)
        expected = b"answers:" + repr(b"\x1b]7501;?\x1b\\\x1b[?62;22c\x1b[1;1R").encode()
        assert recorded(handle).endswith(expected)
        if stream is not None:
            await stream.aclose()


async def test_structured_output_is_no_terminal_s(desk: Desk) -> None:
    """On pipes a query in the text is text."""
    executor, handle = await desk.run("printf", r"\033[c\033]7501;state=blocked\007", stdio="pipes")
    await ended(executor, handle)
    assert (await executor.inspect(handle)).status is None


async def test_activity_is_told_to_the_supervisor_and_to_newcomers(desk: Desk) -> None:
    script = r"printf '\033]7501;state=blocked:kind=question:msg=c3VyZT8=\007'; read x; "
    executor, handle = await desk.run("sh", "-c", script + r"printf '\033]7501;state=working\007'; read y")
    assert await activity(executor, handle, Activity.WAITING) == "sure?"
    stream = await executor.attach(handle, control=True)
    since, what, source, rule, text = packets.parse_status(await read_kind(stream, packets.STATUS))
    assert (what, source, rule, text, since > 0) == ("waiting", "terminal", "osc7501", "sure?", True)
    await stream.write((packets.INPUT, b"\n"))
    await activity(executor, handle, Activity.WORKING)
    second = await desk.executor()
    await second.recover(handle, 2)
    await activity(second, handle, Activity.WORKING)
    await stream.aclose()
    await finish(second, handle)
    assert recorded(handle, packets.MARKER) == b"waiting: sure?"


async def test_a_fresh_attach_replays_from_the_last_clear(desk: Desk) -> None:
    script = r"printf 'old stuff\033[?2004h\033[2Jnew screen'; read x"
    executor, handle = await desk.run("sh", "-c", script)
    await until(lambda: b"new screen" in recorded(handle))
    stream = await executor.attach(handle, control=False)
    streams = (packets.PREAMBLE, packets.OUT)
    assert await read_until(stream, b"new screen", streams) == b"\x1b[?2004h\x1b[2Jnew screen"
    await stream.aclose()
    await finish(executor, handle)


async def test_a_fresh_attach_to_much_output_begins_at_a_line(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "seq 1 900000; echo end; read x")
    await until(lambda: recorded(handle).endswith(b"end\r\n") if recording(handle).end() > 6_000_000 else False)
    stream = await executor.attach(handle, control=False)
    got = await read_until(stream, b"end\r\n")
    assert len(got) <= 4 << 20
    lines = got.split(b"\r\n")
    assert int(lines[1]) == int(lines[0]) + 1
    await stream.aclose()
    await finish(executor, handle)


async def test_a_full_disk_stops_neither_the_program_nor_its_watchers(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "stty raw -echo; echo ready; exec cat")
    holder = holder_of(handle)
    stream = await executor.attach(handle, control=True)
    await read_until(stream, b"ready")
    before = resource.prlimit(holder, resource.RLIMIT_FSIZE)
    resource.prlimit(holder, resource.RLIMIT_FSIZE, (20, before[1]))  # writes fail as on a full disk
    for number in range(20):
        await stream.write((packets.INPUT, b"line %d;" % number))
        await read_until(stream, b"line %d;" % number)
    kept = recording(handle).end()
    assert kept <= 20
    resource.prlimit(holder, resource.RLIMIT_FSIZE, before)
    async with asyncio.timeout(30):
        while recording(handle).end() <= kept:
            await stream.write((packets.INPUT, b"again;"))
            await read_until(stream, b"again;")
    assert [begin for begin, _ in recording(handle).gaps()] == [kept]
    late = await executor.attach(handle, control=False, offset=0)
    assert packets.parse_gap(await read_kind(late, packets.GAP))[0] == kept
    for each in (late, stream):
        await each.aclose()
    await finish(executor, handle)


async def test_an_end_on_a_full_disk_is_told_all_the_same(desk: Desk) -> None:
    executor, handle = await desk.run("sh", "-c", "echo ready; read x; exit 8")
    stream = await executor.attach(handle, control=True)
    await read_until(stream, b"ready")
    before = resource.prlimit(holder_of(handle), resource.RLIMIT_FSIZE)
    resource.prlimit(holder_of(handle), resource.RLIMIT_FSIZE, (10, before[1]))
    await stream.write((packets.INPUT, b"\n"))
    assert (await ended(executor, handle)).exit_code == 8
    await stream.aclose()
    resource.prlimit(holder_of(handle), resource.RLIMIT_FSIZE, before)
    await until((Path(parse_handle(handle).directory) / "exit.json").exists)  # as soon as there is room
    second = await desk.executor()
    await second.recover(handle, 2)
    assert (await ended(second, handle)).exit_code == 8


@pytest.mark.parametrize("noise", [b"\xff" * 100, b"\x01\xff\xff\xff\xff", b"\x02\0\0\0\x01x", b"\x01\0\0\0\x01x", b""])
async def test_a_client_that_talks_nonsense_harms_nobody(desk: Desk, noise: bytes) -> None:
    executor, handle = await desk.run("cat")
    reader, writer = await asyncio.open_unix_connection(parse_handle(handle).socket)
    writer.write(noise)
    writer.write_eof()
    try:
        await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        pass
    writer.close()
    stream = await executor.attach(handle, control=True)
    assert (await acked(stream, b"still there\n"))[0]
    await read_until(stream, b"still there")
    await stream.aclose()
    await finish(executor, handle)


async def test_too_many_clients_are_turned_away(desk: Desk) -> None:
    executor, handle = await desk.run("cat")
    path = parse_handle(handle).socket
    pairs = [await asyncio.open_unix_connection(path) for _ in range(80)]
    assert (await executor.inspect(handle)).alive
    for _, writer in pairs:
        writer.close()
    await finish(executor, handle)


async def test_sockets_are_for_this_user_only(desk: Desk) -> None:
    executor, handle = await desk.run("cat")
    for path in (Path(parse_handle(handle).socket), desk.home.nursery_socket):
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
    assert Path(parse_handle(handle).directory).stat().st_mode & 0o077 == 0
    await finish(executor, handle)
