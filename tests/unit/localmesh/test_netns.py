"""Machines that cannot hold a mesh are told so, and told what else to do."""

import shutil
import subprocess
import sys

import pytest
from localmesh import netns
from localmesh.errors import UnsupportedMachineError


def test_another_system_than_linux_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UnsupportedMachineError, match=r"darwin.*kind"):
        netns.check_machine()


def test_a_machine_without_iproute2_is_told_which_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UnsupportedMachineError, match=r"iproute2.*kind"):
        netns.check_machine()


def test_a_refused_namespace_names_the_kernels_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        @staticmethod
        def unshare(_flags: int) -> int:
            return -1

    monkeypatch.setattr(netns, "_libc", Refusing)
    monkeypatch.setattr(netns.ctypes, "get_errno", lambda: 1)
    with pytest.raises(UnsupportedMachineError, match="Operation not permitted"):
        netns.enter_new_namespace()


def test_processes_are_found_by_their_namespace() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert child.pid in netns.processes_in(netns.namespace_id())
        child.kill()
    assert netns.processes_in(1) == []
