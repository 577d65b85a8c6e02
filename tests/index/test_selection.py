import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.errors import NoSuchDistribution, UsageError
from pyti.index import parse_requirement, select_distributions
from pyti.messages import FileChoice


async def names(client, requirement, choice, target):
    return [found.filename for found in await select_distributions(client, requirement, choice, target)]


async def test_auto_takes_what_an_installer_would(index, client, target):
    index.sdist("demo", "1.0")
    index.wheel("demo", "1.0")
    index.wheel("demo", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    index.wheel("demo", "1.0", tag="cp311-cp311-win_amd64")
    index.wheel("demo", "2.0rc1")
    assert await names(client, "demo", FileChoice.AUTO, target) == ["demo-1.0-cp311-cp311-manylinux_2_17_x86_64.whl"]
    assert await names(client, "demo", FileChoice.SDIST, target) == ["demo-1.0.tar.gz"]
    assert len(await names(client, "demo", FileChoice.ALL, target)) == 4
    assert await names(client, "demo>=2.0rc1", FileChoice.AUTO, target) == ["demo-2.0rc1-py3-none-any.whl"]


async def test_a_higher_build_number_wins(index, client, target):
    index.wheel("demo", "1.0", tag="2-py3-none-any")
    index.wheel("demo", "1.0", tag="10-py3-none-any")
    assert await names(client, "demo", FileChoice.AUTO, target) == ["demo-1.0-10-py3-none-any.whl"]


async def test_prereleases_only_when_asked_or_nothing_else(index, client, target):
    index.wheel("demo", "1.0b1")
    assert await names(client, "demo", FileChoice.AUTO, target) == ["demo-1.0b1-py3-none-any.whl"]


async def test_the_newest_that_fits_the_python_is_taken(index, client, target):
    index.wheel("demo", "2.0", said={"requires-python": ">=3.12"})
    index.wheel("demo", "1.0", said={"requires-python": ">=3.8"})
    assert await names(client, "demo", FileChoice.AUTO, target) == ["demo-1.0-py3-none-any.whl"]
    with pytest.raises(NoSuchDistribution, match=r"needs Python >=3\.12, the image has 3\.11\.2"):
        await names(client, "demo==2.0", FileChoice.AUTO, target)


async def test_yanked_releases_only_when_pinned(index, client, target):
    index.wheel("demo", "1.0")
    index.wheel("demo", "2.0", said={"yanked": "deletes files"})
    assert await names(client, "demo", FileChoice.AUTO, target) == ["demo-1.0-py3-none-any.whl"]
    (pinned,) = await select_distributions(client, "demo==2.0", FileChoice.AUTO, target)
    assert (pinned.yanked, pinned.yanked_reason) == (True, "deletes files")
    with pytest.raises(NoSuchDistribution, match=r"yanked \(deletes files\)"):
        await names(client, "demo>=2", FileChoice.AUTO, target)
    with pytest.raises(NoSuchDistribution, match="yanked"):
        await names(client, "demo==2.*", FileChoice.AUTO, target)


async def test_messages_say_what_exists_instead(index, client, target):
    index.sdist("only-sdist", "1.0")
    index.wheel("only_windows", "1.0", tag="cp311-cp311-win_amd64")
    with pytest.raises(NoSuchDistribution, match="use --sdist"):
        await names(client, "only-sdist", FileChoice.WHEEL, target)
    with pytest.raises(NoSuchDistribution, match="use --wheel"):
        await names(client, "only-windows", FileChoice.SDIST, target)
    with pytest.raises(NoSuchDistribution, match="no wheel for this target"):
        await names(client, "only-windows", FileChoice.AUTO, target)
    with pytest.raises(NoSuchDistribution, match=r"the newest are 1\.0"):
        await names(client, "only-sdist==7", FileChoice.AUTO, target)
    index.projects["empty"] = []
    with pytest.raises(NoSuchDistribution, match="no wheel and no sdist"):
        await names(client, "empty", FileChoice.AUTO, target)


async def test_extras_are_carried_along_and_false_markers_refused(index, client, target):
    index.wheel("demo", "1.0")
    (found,) = await select_distributions(client, "Demo[b,a]>=1", FileChoice.AUTO, target)
    assert found.extras == ("a", "b")
    with pytest.raises(UsageError, match="marker"):
        await names(client, "demo; sys_platform == 'win32'", FileChoice.AUTO, target)


@pytest.mark.parametrize("text", ["./demo-1.0.tar.gz", "demo-1.0-py3-none-any.whl", "/tmp/demo", "~/demo.zip", "a/b"])
def test_a_path_gets_the_hint(text):
    with pytest.raises(UsageError) as caught:
        parse_requirement(text)
    assert "--file" in caught.value.remedy


@pytest.mark.parametrize("text", ["", "demo==", "demo>=1,,", "==1", "demo [", "x" * 2000])
def test_what_is_no_requirement_is_refused(text):
    with pytest.raises(UsageError):
        parse_requirement(text)


def test_urls_are_refused():
    with pytest.raises(UsageError, match="URL"):
        parse_requirement("demo @ https://files.test/demo-1.0.tar.gz")


@given(st.text() | st.from_regex(r"[a-z]{1,4}(\[[a-z]\])? ?[<>=~!]{1,2}[0-9.*]{1,4}(; .*)?", fullmatch=True))
def test_any_text_is_a_requirement_or_a_usage_error(text):
    try:
        requirement = parse_requirement(text)
    except UsageError:
        return
    assert requirement.name
    assert not requirement.url
