"""Several machines that train one net together: how they find one another before anything is begun. Imports no torch.

torch would wait by itself, for half an hour, without a word, and deaf to Ctrl-C.
"""

import logging
import os
import select
import socket
import sys
import time
from contextlib import suppress

from lenet.errors import BadInput
from lenet.system.terminal import command

log = logging.getLogger(__name__)

PATIENCE = 30 * 60.0  # seconds that nodes wait for one another, as torch does
TO_SPEAK = 5.0  # seconds that whoever has come may say nothing; a node speaks at once
GREETING, BEGIN, TAKEN = b"lenet node ", b"begin", b"taken"


def meet(nodes: int) -> None:
    """Wait until the first processes of all `nodes` are here, and say meanwhile how to start those that are not.

    Which node this is, and where the first one is to be found, stands in NODE_RANK, MASTER_ADDR and MASTER_PORT, as
    Lightning reads them too; the first node chooses what it is not told.

    Raises:
        BadInput: those variables cannot be meant, or one of the nodes has not come.
    """
    rank = _number("NODE_RANK", nodes - 1)
    if rank == 0:
        _gather(nodes)
    else:
        _join(rank, nodes)


def _number(name: str, largest: int) -> int:
    """What an environment variable says; 0 without it."""
    text = os.environ.get(name) or "0"
    if not text.isdecimal() or int(text) > largest:
        raise BadInput(f"{name}={text}: give a number from 0 to {largest}")
    return int(text)


def _gather(nodes: int) -> None:
    """The first node: tell the others how to come, and wait for them."""
    server = _listen()
    address, port = os.environ.get("MASTER_ADDR") or socket.gethostname(), server.getsockname()[1]
    os.environ["MASTER_PORT"] = str(port)  # where torch listens after us
    ranks = "1" if nodes == 2 else f"1 to {nodes - 1}, another number on each"
    log.warning(
        "trainer.num_nodes=%d: waiting for %s; start there, with NODE_RANK=%s:\n"
        "MASTER_ADDR=%s MASTER_PORT=%d NODE_RANK=1 %s",
        nodes, _others(nodes - 1), ranks, address, port, command(*sys.argv[1:]),
    )  # fmt: skip
    there: dict[int, socket.socket] = {}
    silent: list[tuple[socket.socket, float]] = []  # have come and said nothing, and until when they may
    deadline = time.monotonic() + PATIENCE
    with server:
        while len(there) < nodes - 1:
            if time.monotonic() > deadline:
                raise BadInput(
                    f"trainer.num_nodes={nodes}: {_others(nodes - 1 - len(there))} did not come within "
                    f"{PATIENCE / 60:.0f} minutes; start all of them, or give 1"
                )
            speak, _, _ = select.select([server, *(caller for caller, _ in silent)], [], [], 1)
            if server in speak:
                with suppress(OSError):  # it has hung up already
                    silent.append((server.accept()[0], time.monotonic() + TO_SPEAK))
            for caller, until in silent:
                if caller in speak:
                    _hear(caller, there, nodes)
                elif time.monotonic() > until:
                    caller.close()
            silent = [one for one in silent if one[0] not in speak and one[0].fileno() >= 0]
            there = {rank: caller for rank, caller in there.items() if not _has_left(caller)}
        for caller, _ in silent:
            caller.close()
        for caller in there.values():
            with suppress(OSError):
                caller.sendall(BEGIN)
        for caller in there.values():
            with suppress(OSError), caller:
                caller.recv(1)  # until it has hung up: then the port is free at once


def _hear(caller: socket.socket, there: dict[int, socket.socket], nodes: int) -> None:
    """Whoever has come says something: a node is let in, and a stranger has come to the wrong place."""
    with suppress(OSError):
        caller.settimeout(5)
        said = caller.recv(100)
        number = said.removeprefix(GREETING)
        if said.startswith(GREETING) and number.isdigit():
            rank = int(number)
            taken = rank in there and not _has_left(there[rank])
            if not taken and 0 < rank < nodes:
                there[rank] = caller
                return
            caller.sendall(TAKEN)
    caller.close()


def _has_left(caller: socket.socket) -> bool:
    caller.setblocking(False)
    try:
        return not caller.recv(1, socket.MSG_PEEK)
    except BlockingIOError:  # it says nothing, as it should
        return False
    except OSError:
        return True
    finally:
        caller.settimeout(5)


def _listen() -> socket.socket:
    port = _number("MASTER_PORT", 65535)
    both = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)
    except OSError as error:
        raise BadInput(f"MASTER_PORT={port}: cannot be listened to ({error.strerror}); give another one") from error


def _join(rank: int, nodes: int) -> None:
    """Another node: wait for the first one."""
    address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    if not address or not port:
        raise BadInput(
            f"NODE_RANK={rank}: MASTER_ADDR and MASTER_PORT say where the first node is; start that one, and it prints "
            "the command for this one"
        )
    place = address, _number("MASTER_PORT", 65535)
    # Printed, since the logs of all processes but the first are silent, and here nobody else speaks.
    print(
        f"trainer.num_nodes={nodes}: waiting for the first node at {address}, port {port}; start the same command "
        f"there with NODE_RANK=0 MASTER_PORT={port}",
        flush=True,
    )
    deadline = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError), socket.create_connection(place, timeout=5) as first:
            first.sendall(GREETING + str(rank).encode())
            first.settimeout(max(0.0, deadline - time.monotonic()))
            said = first.recv(100)
            if said == BEGIN:
                return
            if said == TAKEN:
                raise BadInput(f"NODE_RANK={rank}: another node has come with this number; give each its own")
        if time.monotonic() > deadline:
            raise BadInput(
                f"MASTER_ADDR={address} MASTER_PORT={port}: no first node answered there within "
                f"{PATIENCE / 60:.0f} minutes; start it, or give trainer.num_nodes=1"
            )
        time.sleep(0.5)


def _others(count: int) -> str:
    return "another node" if count == 1 else f"{count} other nodes"
