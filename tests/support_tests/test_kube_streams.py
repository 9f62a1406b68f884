"""Logs and attaches: what is in them and what is not, and what a cut does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.kube.cluster import FakeCluster
from tests.support.kube.crilog import LogWriter
from tests.support_tests.conftest import Asker, output, to_the_end

TTY = {"tty": True, "stdin": True}
PIPES = {"stdin": True}


async def test_a_terminal(cluster: FakeCluster, ask: Asker) -> None:
    """A real one: size, echo, what is typed; the attach ends with Success whatever the exit code is."""
    await ask.run("p", "sh", "-c", "read x; stty size; echo got $x; [ -t 1 ] && exit 3", container=TTY)
    async with ask.attach("p") as socket:
        assert await socket.recv() == b"\x01"  # it is established
        await socket.send(b"\x04" + json.dumps({"Width": 101, "Height": 33}).encode())
        await socket.send(b"\x00word\r")
        seen = await to_the_end(socket)
    assert seen[1] == b"word\r\n33 101\r\ngot word\r\n"
    assert json.loads(seen[3])["status"] == "Success"
    await cluster.until_phase("p", "Failed")
    assert cluster.size("p") == (33, 101)


async def test_pipes_keep_two_streams_apart(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", "sh", "-c", "read x; echo out $x; echo err $x >&2; [ -t 1 ] || exit 0", container=PIPES)
    async with ask.attach("p", "stdin=true&stdout=true&stderr=true") as socket:
        await socket.send(b"\x00a\n")
        seen = await to_the_end(socket)
    assert (seen[1], seen[2]) == (b"out a\n", b"err a\n")
    assert sorted(cluster.log("p").splitlines()) == [b"err a", b"out a"]


async def test_the_log_drops_the_carriage_return_of_a_terminal(cluster: FakeCluster, ask: Asker) -> None:
    """What is attached sees it: the two differ, as containerd and the kubelet make them differ."""
    await ask.run("p", "sh", "-c", "read x; printf 'a\\nb\\rc\\n'", container=TTY)
    async with ask.attach("p") as socket:
        await socket.send(b"\x00\n")
        seen = await to_the_end(socket)
    assert seen[1] == b"\r\na\r\nb\rc\r\n"
    assert (await ask.log("p")).content == b"\na\nb\rc\n"


async def test_the_log_has_no_line_before_its_end(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", "sh", "-c", "read x; printf part; read y; printf more", container=TTY)
    async with ask.attach("p") as socket:
        await socket.send(b"\x00\n")
        assert await output(socket, b"part") == b"\r\npart"
        assert (await ask.log("p")).content == b"\n"
        await socket.send(b"\x00\n")
        assert (await to_the_end(socket))[1] == b"\r\nmore"
    assert (await ask.log("p")).content == b"\npart\nmore"


@pytest.mark.parametrize("held", [4096, 16_384, 20_479])
def test_what_is_held_back_of_a_long_line(tmp_path: Path, held: int) -> None:
    log = LogWriter(tmp_path / "log", lambda: "now")
    log.feed("stdout", b"x" * held)
    assert log.records == []
    log.feed("stdout", b"x" * (20_480 - held))
    assert [(record.full, len(record.text)) for record in log.records] == [(False, 16_384)]
    log.feed("stdout", b"y\r")
    log.feed("stdout", b"\n")
    log.end("stdout")
    assert b"".join(record.shown for record in log.records) == b"x" * 20_480 + b"y\n"
    assert (tmp_path / "log").read_bytes().startswith(b"now stdout P xxx")
    log.close()


async def test_an_attach_has_nothing_of_the_past(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", "sh", "-c", "echo before; read x; echo after", container=TTY)
    await cluster.until_log("p", "before")
    async with ask.attach("p") as socket:
        await socket.send(b"\x00\n")
        assert (await to_the_end(socket))[1] == b"\r\nafter\r\n"


async def test_a_cut_and_a_second_attach(cluster: FakeCluster, ask: Asker) -> None:
    """The program knows nothing of it and its stdin stays open; what came in between is in the log only."""
    await ask.run("p", "sh", "-c", "read x; echo first; read y; echo second", container=TTY)
    async with ask.attach("p") as socket:
        await cluster.until_attached("p")
        cluster.cut_connections()
        with pytest.raises(ConnectionClosed):
            await output(socket, b"never")
    await cluster.until(lambda: cluster.attached("p") == 0)
    async with ask.attach("p") as socket:
        await socket.send(b"\x00\n")
        await output(socket, b"first")
    async with ask.attach("p") as socket:
        await socket.send(b"\x00\n")
        await output(socket, b"second")
    assert cluster.log("p") == b"\nfirst\n\nsecond\n"


async def test_a_closed_input_ends_the_attach_and_not_the_stream(cluster: FakeCluster, ask: Asker) -> None:
    """Without stdinOnce the program sees no end of its input, and the attach loses its output."""
    await ask.run("p", "sh", "-c", "read x; echo $x; sleep 1000", container=PIPES)
    async with ask.attach("p", "stdin=true&stdout=true") as socket:
        await socket.send(b"\xff\x00")
        assert json.loads((await to_the_end(socket))[3])["status"] == "Success"
    assert cluster.phase("p") == "Running"
    async with ask.attach("p", "stdin=true&stdout=true") as socket:
        await socket.send(b"\x00still\n")
        assert await output(socket, b"still\n") == b"still\n"


async def test_with_stdin_once_its_end_arrives(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", "sh", "-c", "cat; echo end", container=PIPES | {"stdinOnce": True})
    async with ask.attach("p", "stdin=true&stdout=true") as socket:
        await socket.send(b"\x00all\n")
        await socket.send(b"\xff\x00")
        assert (await to_the_end(socket))[1] == b"all\nend\n"


async def test_much_output_arrives_whole(cluster: FakeCluster, ask: Asker) -> None:
    script = "import sys; sys.stdin.readline(); [print(f'{n:09}') for n in range(50_000)]"
    await ask.run("p", "python", "-c", script, container=PIPES)
    async with ask.attach("p", "stdin=true&stdout=true") as socket:
        await socket.send(b"\x00\n")
        seen = await to_the_end(socket)
    assert seen[1] == b"".join(b"%09d\n" % n for n in range(50_000))
    assert (await ask.log("p")).content == seen[1]


async def test_an_attach_to_what_does_not_run(cluster: FakeCluster, ask: Asker) -> None:
    """v5 says so on its error channel, v4 instead of the handshake."""
    await ask.create("p", "true")
    await cluster.until_phase("p", "Succeeded")
    async with ask.attach("p") as socket:
        status = json.loads((await to_the_end(socket))[3])
    assert (status["code"], status["status"]) == (500, "Failure")
    assert "container main not found in pod p_default" in status["message"]
    with pytest.raises(InvalidStatus, match="500"):
        async with ask.attach("p", protocol="v4.channel.k8s.io"):
            pass
    with pytest.raises(InvalidStatus, match="404"):
        async with ask.attach("none"):
            pass


async def test_v4(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", "sh", "-c", "read x; echo $x", container=TTY)
    async with ask.attach("p", protocol="v4.channel.k8s.io") as socket:
        assert socket.subprotocol == "v4.channel.k8s.io"
        await socket.send(b"\x00a\n")
        assert (await to_the_end(socket))[1] == b"a\r\na\r\n"


async def test_an_attach_to_a_lost_node_falls_silent(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", "sh", "-c", "while read x; do echo $x; done", container=TTY)
    async with ask.attach("p") as socket:
        await socket.send(b"\x00a\n")
        await output(socket, b"a\r\na\r\n")
        cluster.lose_node("node-1", tainted=False)
        await socket.send(b"\x00b\n")
        await (await socket.ping())  # the API server is there, and what was sent has arrived
        assert b"b" not in cluster.log("p")
        await cluster.type("p", "c\n")
        await cluster.until_log("p", "c")
        await (await socket.ping())
        async with ask.attach("p") as second:
            assert "no route to host" in json.loads((await to_the_end(second))[3])["message"]
        cluster.cut_connections()
        assert await to_the_end(socket) == {}


async def test_a_followed_log_ends_with_the_program(cluster: FakeCluster, ask: Asker) -> None:
    await ask.run("p", "sh", "-c", "echo one; read x; echo two", container=PIPES)
    async with ask.http.stream("GET", "pods/p/log", params={"follow": "true"}) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "one"
        async with ask.attach("p", "stdin=true&stdout=true") as socket:
            await socket.send(b"\x00\n")
            await output(socket, b"two")
        assert [line async for line in lines] == ["two"]


async def test_parts_of_a_log(cluster: FakeCluster, ask: Asker) -> None:
    await ask.create("p", "sh", "-c", "echo one; echo two; printf three")
    await cluster.until_phase("p", "Succeeded")
    assert (await ask.log("p", tailLines=2)).text == "two\nthree"
    assert (await ask.log("p", tailLines=0)).text == ""
    assert (await ask.log("p", limitBytes=5)).text == "one\nt"
    stamp, text = (await ask.log("p", tailLines=1, timestamps="true")).text.split(" ")
    assert text == "three"
    assert (await ask.log("p", sinceTime=stamp)).text.endswith("three")
    assert (await ask.log("p", sinceTime="2100-01-01T00:00:00Z")).text == ""
    assert (await ask.log("p", previous="true")).status_code == 400
    assert (await ask.log("p", container="other")).status_code == 400


async def test_a_log_of_what_has_not_begun(cluster: FakeCluster, ask: Asker) -> None:
    cluster.hold_image("*")
    await ask.create("p", "true")
    await cluster.until(lambda: "containerStatuses" in cluster.pod("p")["status"])
    answer = await ask.log("p")
    assert answer.status_code == 400
    assert answer.json()["message"] == 'container "main" in pod "p" is waiting to start: ContainerCreating'


async def test_a_log_just_after_a_restart(cluster: FakeCluster, ask: Asker) -> None:
    await ask.create("p", "echo", "said")
    await cluster.until_phase("p", "Succeeded")
    cluster.down()
    await cluster.up(logs_missing=1)
    assert [(await ask.log("p")).status_code for _ in range(2)] == [404, 200]
