import os

from pyti.machines.start import CONSOLE_TAIL, _tail, qemu_identity

CAPABILITIES = """<capabilities><host>
<secmodel><model>apparmor</model><doi>0</doi></secmodel>
<secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>{}</baselabel></secmodel>
</host></capabilities>"""


def test_qemus_user_is_the_one_that_libvirt_names():
    assert qemu_identity(CAPABILITIES.format("+64055:+108")) == (64055, 108)
    assert qemu_identity(CAPABILITIES.format("64055:108")) == (64055, 108)


def test_qemus_user_is_ours_where_libvirt_names_none():
    ours = (os.geteuid(), os.getegid())
    assert qemu_identity("<capabilities/>") == ours
    assert qemu_identity(CAPABILITIES.format("someone:else")) == ours


def test_the_consoles_tail_is_bounded_and_holds_no_terminal_escapes():
    assert _tail(b"a\x1b[2J\x00\xff\nb") == "a[2J\ufffd\nb"
    assert len(_tail(b"x" * 10_000)) == CONSOLE_TAIL
    assert _tail(b"") == "(nothing was written)"
