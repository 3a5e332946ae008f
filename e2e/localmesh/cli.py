"""Command line: `python -m localmesh run|up|shell|exec|status|down`."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from localmesh import launcher, netns
from localmesh.addresses import PLAYGROUND_GATEWAY_PORT, PROMETHEUS_IP, PROMETHEUS_PORT
from localmesh.client import call
from localmesh.errors import LocalMeshError
from localmesh.sample import bookinfo
from localmesh.state import Folder, folder, forget_old_runs

DEFAULT_NAME = "default"


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line; exits with its code."""
    arguments = _parser().parse_args(argv)
    try:
        sys.exit(arguments.act(arguments))
    except LocalMeshError as error:
        print(f"localmesh: {error}", file=sys.stderr)
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="localmesh", description="A real Istio mesh as processes on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="bring up a mesh, run a command in it, take it down")
    run.add_argument("--name", help="name of the mesh (default: a new one)")
    run.add_argument("command", nargs="+", metavar="-- COMMAND")
    run.set_defaults(act=_run)

    up = commands.add_parser("up", help="bring up a mesh and keep it until Ctrl-C")
    up.set_defaults(act=_up)
    shell = commands.add_parser("shell", help="open a shell in a mesh that is up")
    shell.set_defaults(act=_shell)
    execute = commands.add_parser("exec", help="run a command in a mesh that is up")
    execute.add_argument("command", nargs="+", metavar="-- COMMAND")
    execute.set_defaults(act=_exec)
    status = commands.add_parser("status", help="show the parts of a mesh")
    status.set_defaults(act=_status)
    sample = commands.add_parser("sample", help="print the sample application, for `kubectl apply -f -`")
    sample.add_argument("--namespace", default="bookinfo", help="where it goes (default: %(default)s)")
    sample.set_defaults(act=_sample)
    down = commands.add_parser("down", help="take a mesh down")
    down.set_defaults(act=_down)
    for command in (up, shell, execute, status, down):
        command.add_argument("--name", default=DEFAULT_NAME, help="name of the mesh (default: %(default)s)")

    daemon = commands.add_parser("daemon")
    daemon.add_argument("folder", type=Path)
    daemon.set_defaults(act=_daemon)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    forget_old_runs()
    name = arguments.name or f"run-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    place = folder(name)
    code = launcher.run(place, arguments.command)
    if code != 0:
        print(f"localmesh: the logs of all parts are in {place.logs}", file=sys.stderr)
    return code


def _up(arguments: argparse.Namespace) -> int:
    place = folder(arguments.name)
    print("starting the mesh ...", flush=True)
    try:
        with launcher.mesh(place) as daemon:
            print(_welcome(arguments.name, place), flush=True)
            code = daemon.wait()
            if code != 0:
                raise LocalMeshError(f"the mesh ended unexpectedly; see {place.logs / 'daemon.log'}")
    except (KeyboardInterrupt, launcher.Interrupted):
        print("\nstopping the mesh ...", flush=True)
    return 0


def _welcome(name: str, place: Folder) -> str:
    again = "" if name == DEFAULT_NAME else f" --name {name}"
    return (
        f"The mesh is up. In another terminal:\n"
        f"  python -m localmesh shell{again}     a shell with kubectl, istioctl and helm on this mesh\n"
        f"  python -m localmesh exec{again} -- kubectl get pods -A\n"
        f"Prometheus (inside the mesh): http://{PROMETHEUS_IP}:{PROMETHEUS_PORT}\n"
        f"Logs of every part: {place.logs}\n"
        f"Ctrl-C here, or `python -m localmesh down{again}`, takes it down."
    )


def _enter(name: str) -> Folder:
    place = folder(name)
    running = place.running()
    if running is None:
        raise LocalMeshError(f"no mesh named {name!r} is up: start one with `python -m localmesh up`")
    netns.join_namespace_of(running.pid)
    return place


def _shell(arguments: argparse.Namespace) -> int:
    place = _enter(arguments.name)
    env = launcher.environment(place) | {"PS1": f"(mesh {arguments.name}) \\w \\$ "}
    shell = os.environ.get("SHELL", "/bin/sh")
    command = [shell, "--norc"] if Path(shell).name == "bash" else [shell]
    return launcher.foreground(command, env)


def _exec(arguments: argparse.Namespace) -> int:
    return launcher.foreground(arguments.command, launcher.environment(_enter(arguments.name)))


def _status(arguments: argparse.Namespace) -> int:
    place = folder(arguments.name)
    if place.running() is None:
        print(f"no mesh named {arguments.name!r} is up")
        return 1
    status = call(place.control_socket, "status")
    print("ready" if status["ready"] else "starting")
    for part in status["parts"]:
        print(f"{part['pid'] or '-':>8}  {part['name']:<50} {part['log']}")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    place = folder(arguments.name)
    recorded = place.recorded()
    running = place.running()
    if recorded is None:
        print(f"no mesh named {arguments.name!r} is up")
        return 0
    if running:
        os.kill(running.pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while place.running() and time.monotonic() < deadline:
            time.sleep(0.1)
    place.kill_remains()
    return 0


def _sample(arguments: argparse.Namespace) -> int:
    manifests = bookinfo(arguments.namespace, PLAYGROUND_GATEWAY_PORT)
    print(json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}, indent=1))
    return 0


def _daemon(arguments: argparse.Namespace) -> int:
    from localmesh import daemon  # noqa: PLC0415 (its imports would slow down every other command)

    daemon.main(Folder(arguments.folder))
    return 0
