import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pyti.machines.domain_xml import QEMU_URI, SSH_PORT, DomainSpec, Mark, domain_xml, read_mark

SPEC = DomainSpec(
    name="pyti-o-01234567",
    mark=Mark(home=Path("/h"), owner="o", machine="01234567", job="job-1"),
    boot="clone",
    accel="tcg",
    cpus=2,
    memory_mib=512,
    kernel=Path("/i/vmlinuz"),
    initrd=Path("/i/initrd"),
    disk=Path("/m/disk.qcow2"),
    ssh_socket=Path("/m/ssh.sock"),
    ram=Path("/t/ram"),
)


def parsed(spec):
    return ET.fromstring(domain_xml(spec))  # noqa: S314 (our own text)


def arguments(spec):
    root = parsed(spec)
    return [arg.get("value") for arg in root.iterfind(f"{{{QEMU_URI}}}commandline/{{{QEMU_URI}}}arg")]


def test_no_machine_has_a_network_card():
    assert parsed(SPEC).find("devices/interface") is None


def test_a_clone_maps_the_ram_privately_and_waits_for_its_state():
    found = arguments(SPEC)
    assert "memory-backend-file,id=pyti.ram,size=512M,mem-path=/t/ram,share=off" in found
    assert found[-2:] == ["-incoming", "defer"]


def test_the_template_shares_its_ram_file_and_waits_for_nothing():
    found = arguments(replace(SPEC, boot="template"))
    assert "memory-backend-file,id=pyti.ram,size=512M,mem-path=/t/ram,share=on" in found
    assert "-incoming" not in found


def test_a_cold_boot_has_ram_of_its_own():
    assert arguments(replace(SPEC, boot="cold", ram=None)) == []


def test_only_what_boots_is_given_a_kernel():
    assert parsed(SPEC).find("os/kernel") is None
    for boot in ("cold", "template"):
        assert parsed(replace(SPEC, boot=boot)).findtext("os/initrd") == "/i/initrd"


def test_libvirt_does_not_ask_for_every_property_of_the_cpu():
    denied = parsed(SPEC).find(f"{{{QEMU_URI}}}capabilities/{{{QEMU_URI}}}del")
    assert denied.get("capability") == "cpu-unavailable-features"


def test_a_comma_in_a_path_does_not_end_qemus_option():
    assert any("mem-path=/t,,size=9/ram," in arg for arg in arguments(replace(SPEC, ram=Path("/t,size=9/ram"))))


def test_template_and_clone_have_the_same_devices():
    def devices(spec):
        root = parsed(spec)
        return [
            (e.tag, [(c.tag, c.get("name"), c.get("bus")) for c in e.iterfind("target")]) for e in root.find("devices")
        ]

    assert devices(SPEC) == devices(replace(SPEC, boot="template", console=Path("/t/console.log")))


def test_the_ssh_port_is_bound_to_the_machines_socket():
    channel = parsed(SPEC).find("devices/channel")
    assert channel.find("source").attrib == {"mode": "bind", "path": "/m/ssh.sock"}
    assert channel.find("target").get("name") == SSH_PORT


def test_a_foreign_domain_has_no_mark():
    assert read_mark("<domain><name>x</name></domain>") is None
    assert read_mark("not xml") is None


plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))


@given(owner=plain, job=plain)
def test_any_mark_comes_back_as_it_was(owner, job):
    mark = Mark(home=Path("/h & <b>"), owner=owner, machine="m", job=job)
    assert read_mark(domain_xml(replace(SPEC, mark=mark))) == mark
