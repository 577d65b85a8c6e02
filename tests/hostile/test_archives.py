"""Archives that must not be opened, made at test time, and sound ones that must."""

import gzip
import io
import struct
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyti.errors import MalformedArchive
from pyti.index import ArchiveLimits, check_archive
from pyti.messages import DistributionKind

SDIST, WHEEL = DistributionKind.SDIST, DistributionKind.WHEEL
SMALL = ArchiveLimits(max_members=50, max_bytes=4 << 20, ratio_from=1 << 20, max_ratio=50)
INFO = "demo-1.0.dist-info"


def tar_bytes(*members, top="demo-1.0", form=tarfile.PAX_FORMAT):
    """Make an sdist of PKG-INFO and members: (name, data) or TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as file:
        for member in ((f"{top}/PKG-INFO", b"Name: demo\n"), *members):
            if isinstance(member, tarfile.TarInfo):
                file.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                file.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_bytes(*members, skip=()):
    """Make a wheel with its three files and members: (name or ZipInfo, data)."""
    out = io.BytesIO()
    base = [(f"{INFO}/{name}", f"{name} of demo\n") for name in ("METADATA", "WHEEL", "RECORD") if name not in skip]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in (*base, *members):
            file.writestr(name, data)
    return out.getvalue()


@pytest.fixture
def check(tmp_path):
    def check_bytes(data, kind=SDIST, name=None, limits=SMALL):
        path = tmp_path / (name or ("demo-1.0.tar.gz" if kind is SDIST else "demo-1.0-py3-none-any.whl"))
        path.write_bytes(data)
        return check_archive(path, kind, limits)

    return check_bytes


def packed(tar, level=6):
    return gzip.compress(tar, level)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_sound_sdist_passes_in_every_format(check, form):
    long = "demo-1.0/" + "/".join(["folder"] * 18) + "/file.py"
    summary = check(packed(tar_bytes((long, b"x"), ("demo-1.0/setup.py", b"pass\n"), form=form)))
    assert (summary.top, summary.members, summary.notes) == ("demo-1.0", 3, ())
    assert summary.kept == {"PKG-INFO": b"Name: demo\n", "setup.py": b"pass\n"}


def test_a_sound_wheel_and_a_zipped_sdist_pass(check):
    summary = check(zip_bytes(("demo/__init__.py", "pass"), ("demo/empty/", "")), WHEEL)
    assert summary.top == INFO
    assert summary.kept["METADATA"] == b"METADATA of demo\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("demo-1.0/PKG-INFO", "Name: demo\n")
    assert check(out.getvalue(), SDIST, "demo-1.0.zip").top == "demo-1.0"


def test_a_wheel_written_as_a_stream_passes(check):
    """Data descriptors follow the members when the writer could not seek back."""

    class Unseekable(io.RawIOBase):
        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, piece):
            self.data += piece
            return len(piece)

    out = Unseekable()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("METADATA", "WHEEL", "RECORD"):
            file.writestr(f"{INFO}/{name}", "x" * 100)
    assert check(bytes(out.data), WHEEL).members == 3


def test_links_inside_an_sdist_are_allowed(check):
    members = [
        special("demo-1.0/link", tarfile.SYMTYPE, "PKG-INFO"),
        special("demo-1.0/hard", tarfile.LNKTYPE, "demo-1.0/PKG-INFO"),
    ]
    assert check(packed(tar_bytes(*members))).links == 2


def test_names_that_differ_in_case_only_are_noted(check):
    assert "letter case" in check(packed(tar_bytes(("demo-1.0/A", b""), ("demo-1.0/a", b"")))).notes[0]


BAD_NAMES = [
    "../evil", "demo-1.0/../../evil", "/etc/passwd", "C:/evil", "demo-1.0/a\\..\\b", "demo-1.0/new\nline",
    "demo-1.0/\x1b[31m",
    "demo-1.0/" + "x" * 300, "demo-1.0/" + "a/" * 100 + "b",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_paths_that_leave_or_deceive_are_refused(check, name):
    with pytest.raises(MalformedArchive):
        check(packed(tar_bytes((name, b"x"))))
    with pytest.raises(MalformedArchive):
        check(zip_bytes((name, b"x")), WHEEL)


@pytest.mark.parametrize(
    "member",
    [
        special("demo-1.0/l", tarfile.SYMTYPE, "/etc/passwd"),
        special("demo-1.0/l", tarfile.SYMTYPE, "../../evil"),
        special("demo-1.0/l", tarfile.SYMTYPE, ".."),
        special("demo-1.0/l", tarfile.SYMTYPE, ""),
        special("demo-1.0/l", tarfile.LNKTYPE, "/etc/passwd"),
        special("demo-1.0/l", tarfile.LNKTYPE, "demo-1.0/missing"),
        special("demo-1.0/l", tarfile.LNKTYPE, "../evil"),
        special("demo-1.0/d", tarfile.CHRTYPE),
        special("demo-1.0/d", tarfile.BLKTYPE),
        special("demo-1.0/d", tarfile.FIFOTYPE),
        special("demo-1.0/d", b"S"),
        special("demo-1.0/d", b"Z"),
    ],
)
def test_links_out_and_special_files_are_refused(check, member):
    with pytest.raises(MalformedArchive):
        check(packed(tar_bytes(member)))


def test_a_link_through_a_link_and_a_file_below_a_link_are_refused(check):
    via = special("demo-1.0/a", tarfile.SYMTYPE, "sub")
    with pytest.raises(MalformedArchive, match="through another link"):
        check(packed(tar_bytes(via, special("demo-1.0/b", tarfile.SYMTYPE, "a/../x"))))
    with pytest.raises(MalformedArchive, match="no folder"):
        check(packed(tar_bytes(via, ("demo-1.0/a/file", b"x"))))


def test_a_link_in_a_wheel_is_refused(check):
    link = zipfile.ZipInfo("demo/link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with pytest.raises(MalformedArchive, match="link"):
        check(zip_bytes((link, "/etc/passwd")), WHEEL)


def test_duplicates_are_refused(check):
    with pytest.raises(MalformedArchive, match="same path"):
        check(packed(tar_bytes(("demo-1.0/a", b"1"), ("demo-1.0/./a", b"2"))))
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zip_bytes(("a.py", "1"), ("a.py", "2"))
    with pytest.raises(MalformedArchive, match="same path"):
        check(data, WHEEL)


def test_bombs_are_refused_before_they_unfold(check):
    with pytest.raises(MalformedArchive, match="bomb"):
        check(packed(tar_bytes(("demo-1.0/zeros", bytes(2 << 20))), 9))
    with pytest.raises(MalformedArchive, match="bomb"):
        check(zip_bytes(("zeros", bytes(2 << 20))), WHEEL)
    with pytest.raises(MalformedArchive, match="more than 4194304 bytes"):
        check(packed(tar_bytes(("demo-1.0/zeros", bytes(5 << 20))), 0))
    with pytest.raises(MalformedArchive, match="members"):
        check(packed(tar_bytes(*((f"demo-1.0/{number}", b"") for number in range(60)))))
    with pytest.raises(MalformedArchive, match="members"):
        check(zip_bytes(*((f"{number}.py", b"") for number in range(60))), WHEEL)


def test_bytes_before_and_after_are_refused(check):
    sdist, wheel = packed(tar_bytes()), zip_bytes()
    for data, kind in ((sdist, SDIST), (wheel, WHEEL)):
        with pytest.raises(MalformedArchive):
            check(data + b"trailing", kind)
        with pytest.raises(MalformedArchive):
            check(b"leading" + data, kind)
        with pytest.raises(MalformedArchive):
            check(data + data, kind)
    with pytest.raises(MalformedArchive, match="end of the tar file"):
        check(packed(tar_bytes() + b"hidden" * 100))
    assert check(sdist + bytes(512)).members == 1, "zeros are padding"


@pytest.mark.parametrize("cut", [1, 10, 100, 0.5])
def test_truncated_archives_are_refused(check, cut):
    for data, kind in ((packed(tar_bytes()), SDIST), (zip_bytes(), WHEEL)):
        with pytest.raises(MalformedArchive):
            check(data[: int(len(data) * cut) if cut < 1 else len(data) - cut], kind)


LOCAL_FIELDS = {"method": (8, "<H"), "crc": (14, "<L"), "packed": (18, "<L"), "size": (22, "<L"), "flags": (6, "<H")}


@pytest.mark.parametrize("field", LOCAL_FIELDS)
def test_local_headers_that_disagree_with_the_directory_are_refused(check, field):
    data = bytearray(zip_bytes())
    at, form = LOCAL_FIELDS[field]
    (value,) = struct.unpack_from(form, data, at)
    struct.pack_into(form, data, at, value ^ (0x800 if field == "flags" else 1))
    with pytest.raises(MalformedArchive):
        check(bytes(data), WHEEL)


def test_a_local_name_that_disagrees_is_refused(check):
    data = bytearray(zip_bytes(("demo.py", "x" * 100)))
    at = data.index(b"demo.py")
    data[at : at + 7] = b"evil.py"
    with pytest.raises(MalformedArchive, match="disagrees"):
        check(bytes(data), WHEEL)


@pytest.mark.parametrize("flag", [0x1, 0x20, 0x40])
def test_encrypted_members_are_refused(check, flag):
    data = bytearray(zip_bytes())
    data[6] |= flag
    data[data.index(b"PK\x01\x02") + 8] |= flag
    with pytest.raises(MalformedArchive, match="encrypted"):
        check(bytes(data), WHEEL)


def test_a_member_hidden_between_members_is_refused(check):
    """The directory skips a member that a stream reader would unpack."""
    data = zip_bytes(("hidden.py", "evil"), ("z.py", "x"))
    start = data.index(b"PK\x01\x02")
    records, position = [], start
    while data[position : position + 4] == b"PK\x01\x02":
        lengths = struct.unpack_from("<3H", data, position + 28)
        records.append(data[position : position + 46 + sum(lengths)])
        position += len(records[-1])
    kept = [record for record in records if b"hidden.py" not in record]
    directory = b"".join(kept)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(kept), len(kept), len(directory), start, 0)
    with pytest.raises(MalformedArchive, match="hide bytes"):
        check(data[:start] + directory + end, WHEEL)


def test_unusual_compression_is_refused(check):
    out = io.BytesIO(zip_bytes())
    with zipfile.ZipFile(out, "a") as file:
        file.writestr("a.py", "x", compress_type=zipfile.ZIP_LZMA)
    with pytest.raises(MalformedArchive, match="method 14"):
        check(out.getvalue(), WHEEL)


def test_a_negative_size_in_a_tar_header_is_refused(check):
    """``tarfile`` before 2025 could be made to loop by one."""
    tar = bytearray(tar_bytes(("demo-1.0/a", b"x")))
    tar[124:136] = b"\xff" * 12
    total = sum(tar[:148]) + 8 * 32 + sum(tar[156:512])
    tar[148:156] = b"%06o\0 " % total
    with pytest.raises(MalformedArchive, match="negative"):
        check(packed(bytes(tar)))


@pytest.mark.parametrize(
    "record", [b"0 a=b\n", b"99 path=x\n", b"12 size=-1\n\n", b"nonsense", b"22 GNU.sparse.map=0,1\n"]
)
def test_malformed_pax_headers_are_refused(check, record):
    header = special("pax", tarfile.XHDTYPE)
    header.size = len(record)
    tar = header.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0") + tar_bytes()
    with pytest.raises(MalformedArchive):
        check(packed(tar))


def test_an_sdist_has_one_folder_named_right(check):
    with pytest.raises(MalformedArchive, match="one top-level folder"):
        check(packed(tar_bytes(("other/file", b"x"))))
    with pytest.raises(MalformedArchive, match=r"not demo-1\.0"):
        check(packed(tar_bytes(top="other-1.0")))
    with pytest.raises(MalformedArchive, match=r"not demo-1\.0"):
        check(packed(tar_bytes(top="demo-1.1")))
    assert check(packed(tar_bytes(top="Demo-1.0.0"))).top == "Demo-1.0.0", "spelling may differ"


@pytest.mark.parametrize("missing", ["METADATA", "WHEEL", "RECORD"])
def test_a_wheel_has_its_three_files(check, missing):
    with pytest.raises(MalformedArchive, match=missing):
        check(zip_bytes(skip=(missing,)), WHEEL)


def test_a_wheel_has_one_metadata_folder_of_its_own(check):
    with pytest.raises(MalformedArchive, match="exactly one"):
        check(zip_bytes(("other-1.0.dist-info/METADATA", "x")), WHEEL)
    with pytest.raises(MalformedArchive, match="not other-1"):
        check(zip_bytes(), WHEEL, "other-1.0-py3-none-any.whl")


def test_what_is_no_regular_file_is_refused(tmp_path):
    (tmp_path / "demo-1.0.tar.gz").mkdir()
    with pytest.raises(MalformedArchive, match="regular"):
        check_archive(tmp_path / "demo-1.0.tar.gz", SDIST)


QUIET = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.binary(max_size=2000))
@QUIET
def test_any_bytes_are_malformed_and_nothing_else(check, data):
    for form, kind in ((data, SDIST), (gzip.compress(data), SDIST), (data, WHEEL)):
        with pytest.raises(MalformedArchive):
            check(form, kind)


@given(st.data())
@QUIET
def test_any_damage_is_malformed_or_harmless(check, data):
    """Flip bytes of sound archives, tar blocks included: no other error comes out, and no path gets out."""
    kind = data.draw(st.sampled_from([SDIST, WHEEL]))
    body = bytearray(
        tar_bytes(("demo-1.0/a", b"x"), special("demo-1.0/l", tarfile.SYMTYPE, "a")) if kind is SDIST else zip_bytes()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    if kind is SDIST and data.draw(st.booleans()):
        for start in range(0, len(body) - 511, 512):  # make the checksums right again, so that the parser goes on
            if body[start + 257 : start + 262] == b"ustar":
                total = sum(body[start : start + 148]) + 256 + sum(body[start + 156 : start + 512])
                body[start + 148 : start + 156] = b"%06o\0 " % total
    try:
        summary = check(gzip.compress(bytes(body)) if kind is SDIST else bytes(body), kind)
    except MalformedArchive:
        return
    assert "/" not in summary.top
    assert ".." not in summary.top


def test_deflate_output_held_back_by_zlib_is_not_lost(check):
    """A member that unpacks to an exact multiple of the output buffer."""
    limits = ArchiveLimits(ratio_from=1 << 40)
    for size in ((1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20):
        assert check(zip_bytes(("zeros", bytes(size))), WHEEL, limits=limits).unpacked_bytes > size
