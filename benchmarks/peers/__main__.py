"""``python -m benchmarks.peers NAME``: install a peer, start it, print its URL and pid, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys

from benchmarks.options import add_place, read_place, terminate_as_interrupt
from benchmarks.peers import PEERS
from benchmarks.server import NotStarted, Server, free_port


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--port", type=int, help="default: a free one")
    parser.add_argument("--install-only", action="store_true")
    add_place(parser)
    args = parser.parse_args(arguments)
    terminate_as_interrupt()
    peer, place = PEERS[args.name], read_place(args)
    try:
        peer.install(place)
        if args.install_only:
            return
        port = args.port or free_port()
        log = place.folder / f"{peer.name}.log"
        print(f"starting {peer.title}; its log is {log}", file=sys.stderr)
        with Server(peer.launch(place, port), port=port, log=log, start_s=peer.start_s) as server:
            model = peer.launch(place, port).model
            print(f"{server.url} pid={server.pid} model={model} cold={peer.cold}", flush=True)
            raise SystemExit(server.wait())
    except NotStarted as e:
        raise SystemExit(f"{peer.name}: {e}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
