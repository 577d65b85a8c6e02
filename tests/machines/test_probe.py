"""The probe, with stand-ins for QEMU that behave as kernels were seen to behave under KVM."""

import platform

import pytest

from pyti.machines import probe
from pyti.machines.probe import booted, probe_accelerator

WORKS = 'echo "Linux version 6.1"; echo "Kernel panic - not syncing: VFS: Unable to mount root fs"'


@pytest.fixture
def qemu(tmp_path, monkeypatch):
    """Put a program before the real QEMU; the fixture is a function of its shell text."""
    monkeypatch.setattr(probe, "KVM_DEVICE", tmp_path / "kvm")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "kvm").touch()
    (tmp_path / "cache").mkdir()

    def write(text):
        program = tmp_path / "qemu-system-x86_64"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    return write


async def probed(tmp_path, qemu="7.2.0"):
    return await probe_accelerator("auto", tmp_path / "vmlinuz", tmp_path / "cache", qemu=qemu)


async def test_a_kernel_that_gets_through_its_boot_proves_kvm(qemu, tmp_path):
    qemu(WORKS)
    assert (await probed(tmp_path)).accel == "kvm"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo 'Linux version 6.1'; exec sleep 60", "did not end within"),
        ("echo 'Linux version 6.1'", "did not get through its boot"),
        ("echo 'qemu: failed to initialize kvm'; exit 1", "failed to initialize kvm"),
        ("", "did not get through its boot"),
    ],
)
async def test_a_boot_that_hangs_stops_or_never_begins_means_emulation(qemu, tmp_path, monkeypatch, text, reason):
    if "sleep" in text:
        monkeypatch.setattr(probe, "PROBE_LIMIT_S", 0.3)
    qemu(text)
    found = await probed(tmp_path)
    assert found.accel == "tcg"
    assert reason in found.reason


async def test_the_finding_is_kept_for_this_kernel_and_this_qemu(qemu, tmp_path):
    qemu(WORKS)
    await probed(tmp_path)
    qemu("exit 1")
    assert (await probed(tmp_path)).accel == "kvm"
    assert (await probed(tmp_path, qemu="8.0.0")).accel == "tcg"
    names = {path.name for path in (tmp_path / "cache").iterdir()}
    assert names == {f"accel-{platform.release()}-{version}.json" for version in ("7.2.0", "8.0.0")}


@pytest.mark.parametrize("note", [b"", b"{", b'{"accel": "hvf", "reason": ""}', b"\xff"])
async def test_a_damaged_note_is_found_out_anew(qemu, tmp_path, note):
    qemu(WORKS)
    (tmp_path / "cache" / f"accel-{platform.release()}-7.2.0.json").write_bytes(note)
    assert (await probed(tmp_path)).accel == "kvm"


async def test_without_a_device_or_a_kernel_nothing_is_booted(qemu, tmp_path):
    qemu("exit 1")
    assert "no image" in (await probe_accelerator("auto", None, tmp_path / "cache", qemu="q")).reason
    (tmp_path / "kvm").unlink()
    assert "missing" in (await probed(tmp_path)).reason
    assert list((tmp_path / "cache").iterdir()) == []


async def test_what_settings_ask_for_is_not_doubted(tmp_path):
    assert (await probe_accelerator("kvm", None, tmp_path, qemu="q")).accel == "kvm"


@pytest.mark.parametrize("console", ["", "Linux version 6.1", "Unable to mount root fs"])
def test_half_a_boot_is_no_boot(console):
    assert not booted(console)
