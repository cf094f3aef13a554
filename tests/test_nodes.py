"""Several machines that train one net: each says at once what it waits for and how to start it, and heeds Ctrl-C."""

import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from conftest import HANG, until
from lenet.errors import BadInput
from lenet.runs.directory import RunDirectory
from lenet.system import terminal
from lenet.training import nodes


@pytest.fixture
def port(monkeypatch) -> Iterator[int]:
    """A port of this machine that is free, in the environment of both nodes, which here are threads of one process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    for name in ("NODE_RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(logging.getLogger("lenet"), "propagate", True)  # as it is before lenet.cli.commands.quiet
    return port


def connected(port: int) -> socket.socket:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.01)


def in_background(count: int) -> threading.Thread:
    thread = threading.Thread(target=nodes._gather, args=(count,), daemon=True)
    thread.start()
    return thread


def test_the_first_node_says_how_to_start_the_other_and_both_begin_when_it_comes(
    port, caplog, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["scripts/train.py", "trainer.num_nodes=2", "model.conv_channels=[3, 4]"])
    first = in_background(2)
    nodes._join(1, 2)
    first.join()
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "trainer.num_nodes=2: waiting for another node; start there" in said
    command = f"MASTER_ADDR=127.0.0.1 MASTER_PORT={port} NODE_RANK=1 {terminal.command(*sys.argv[1:])}"
    assert command in said.splitlines()
    assert command.endswith("scripts/train.py trainer.num_nodes=2 'model.conv_channels=[3, 4]'")
    assert f"waiting for the first node at 127.0.0.1, port {port}; start" in capsys.readouterr().out
    with socket.create_server(("127.0.0.1", port)):
        pass  # torch can listen there at once


def test_a_first_node_that_is_told_nothing_chooses_a_port_and_tells_torch(port, monkeypatch, caplog) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(nodes, "PATIENCE", -1.0)
    with pytest.raises(BadInput):
        nodes.meet(3)
    chosen = nodes.os.environ["MASTER_PORT"]
    assert int(chosen) > 0
    assert f"MASTER_ADDR={socket.gethostname()} MASTER_PORT={chosen} NODE_RANK=1 " in caplog.text
    assert "2 other nodes; start there, with NODE_RANK=1 to 2, another number on each" in caplog.text


def test_only_nodes_are_counted_and_each_once(port, no_waiting) -> None:
    first = in_background(3)

    def connect() -> socket.socket:
        return connected(port)

    with connect() as stranger:
        stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
    with connect() as counts:
        counts.sendall(b"2")  # which is no greeting
        assert counts.recv(9) == b""
    with connect() as gone:
        gone.sendall(nodes.GREETING + b"2")
    with connect() as second:
        second.sendall(nodes.GREETING + b"1")
        for number in (b"1", b"3"):  # there already, and one too many
            with connect() as another:
                another.sendall(nodes.GREETING + number)
                assert another.recv(9) == nodes.TAKEN
        with pytest.raises(BadInput, match="NODE_RANK=1: another node has come with this number"):
            nodes._join(1, 3)
        assert first.is_alive()
        nodes._join(2, 3)
        assert second.recv(9) == nodes.BEGIN
    first.join()


def test_whoever_comes_and_says_nothing_holds_no_node_up(port, monkeypatch, no_waiting) -> None:
    monkeypatch.setattr(nodes, "TO_SPEAK", 10 * HANG)
    first = in_background(2)
    silent = [connected(port) for _ in range(20)]
    nodes._join(1, 2)
    first.join()
    assert [one.recv(1) for one in silent] == [b""] * 20, "and it is let go then"


def test_whoever_says_nothing_for_long_is_let_go(port, monkeypatch, no_waiting) -> None:
    monkeypatch.setattr(nodes, "TO_SPEAK", 0)
    first = in_background(2)
    with connected(port) as silent:
        assert silent.recv(1) == b""
    assert first.is_alive()
    monkeypatch.setattr(nodes, "TO_SPEAK", HANG)
    nodes._join(1, 2)
    first.join()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "trainer.num_nodes=2: another node did not come within 30 minutes; start all of them, or give 1"),
        ({"NODE_RANK": "1"}, "no first node answered there within 30 minutes; start it, or give trainer.num_nodes=1"),
        ({"NODE_RANK": "2"}, "NODE_RANK=2: give a number from 0 to 1"),
        ({"NODE_RANK": "first"}, "NODE_RANK=first: give a number from 0 to 1"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT=70000: give a number from 0 to 65535"),
        ({"NODE_RANK": "1", "MASTER_ADDR": ""}, "NODE_RANK=1: MASTER_ADDR and MASTER_PORT say where the first node is"),
    ],
    ids=str,
)
def test_what_cannot_come_together_ends_in_a_line(port, monkeypatch, environment, words) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    clock = iter(range(0, 10**6, 3600))
    monkeypatch.setattr(nodes.time, "monotonic", lambda: next(clock))
    with pytest.raises(BadInput) as caught:
        nodes.meet(2)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.real_data
def test_a_run_that_waits_for_another_node_says_so_and_heeds_a_signal(start, in_empty_folder, real_root) -> None:
    process = start("trainer.num_nodes=2", "trainer.accelerator=cpu", f"data.root={real_root}", "hydra.run.dir=run")
    until(lambda: "NODE_RANK=1" in process.said, process)
    code, said = process.kill(signal.SIGTERM)
    assert code == 143, said
    assert "trainer.num_nodes=2: waiting for another node" in said
    assert "Traceback" not in said
    assert not RunDirectory(in_empty_folder / "run").begun


@pytest.mark.real_data
def test_two_nodes_train_one_net(start, in_empty_folder, real_root) -> None:
    given = [*("trainer.num_nodes=2", "trainer.accelerator=cpu", f"data.root={real_root}", "hydra.run.dir=run"),
             *("trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1"),
             *("trainer.limit_test_batches=1", "dashboard.enabled=false", "threads=1")]  # fmt: skip
    first = start(*given)
    until(lambda: "NODE_RANK=1 " in first.said, first)
    told = dict(word.split("=") for word in re.findall(r"\b[A-Z_]+=\S+", first.said.splitlines()[-1]))
    assert told.keys() == {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"}
    second = start(*given, env=os.environ | told | {"MASTER_ADDR": "127.0.0.1"})  # its name may not be one of a network
    assert second.wait()[0] == 0, second.said
    assert first.wait()[0] == 0, first.said
    assert second.said.startswith("trainer.num_nodes=2: waiting for the first node at 127.0.0.1, port ")
    result = RunDirectory(in_empty_folder / "run").read_result() or {}
    assert (result["status"], result["device"]) == ("completed", "2 x cpu")
